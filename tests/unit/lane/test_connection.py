"""Back-pressure: who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

import pytest

from proxy.ground.steps import Steps
from tests.support.lanes import lane_test
from tests.support.peers import GET, MIB, OK, Peer, noise


async def pour(peer: Peer, data: bytes, sent: list[int]) -> None:
    for start in range(0, len(data), 65536):
        await peer.send(data[start : start + 65536])
        sent[0] = start + 65536


async def settled(sent: list[int]) -> int:
    """How much had been sent when nothing moved any more."""
    last = -1
    while sent[0] != last:
        last = sent[0]
        await asyncio.sleep(0.2)
    return last


@pytest.mark.parametrize("chunked", [False, True])
@lane_test()
async def test_a_slow_reader_slows_the_upstream_and_loses_nothing(world, chunked):
    data = noise(96 * MIB)  # more than the kernel's buffers hold together
    raw = b"".join(b"%x\r\n%b\r\n" % (MIB, data[i : i + MIB]) for i in range(0, len(data), MIB))
    raw = raw + b"0\r\n\r\n" if chunked else data
    caller = await world.caller(limit=65536)
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(data)
    await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    sent = [0]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pour(peer, raw, sent))
        await caller.head()
        assert await settled(sent) < len(raw)
        got = hashlib.sha256()
        left = len(raw)
        while left:
            piece = await caller.reader.read(MIB)
            left -= len(piece)
            got.update(piece)
    assert got.digest() == hashlib.sha256(raw).digest()
    await caller.send(GET)
    assert await peer.head() == GET


@pytest.mark.parametrize("chunked", [False, True])
@lane_test()
async def test_a_slow_upstream_slows_the_caller_and_loses_nothing(world, chunked):
    data = noise(96 * MIB)  # more than the kernel's buffers hold together
    raw = b"".join(b"%x\r\n%b\r\n" % (MIB, data[i : i + MIB]) for i in range(0, len(data), MIB))
    raw = raw + b"0\r\n\r\n" if chunked else data
    caller = await world.caller()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(data)
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\n" + framing + b"\r\n\r\n")
    peer = await world.accept()
    sent = [0]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pour(caller, raw, sent))
        await peer.head()
        assert await settled(sent) < len(raw)
        got = hashlib.sha256()
        left = len(data)
        while left:
            if chunked:
                size = int(await peer.reader.readline(), 16)
                piece = (await peer.read(size + 2))[:-2]
            else:
                piece = await peer.reader.read(MIB)
            left -= len(piece)
            got.update(piece)
    assert got.digest() == hashlib.sha256(data).digest()
    if chunked:
        assert await peer.read(5) == b"0\r\n\r\n"
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@lane_test()
async def test_small_chunks_hold_up_nobody_else_and_arrive(world):
    chunky = await world.caller()
    await chunky.send(b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    count = MIB // 4
    chunky.writer.write(b"1\r\nx\r\n" * count + b"0\r\n\r\n")
    received, turns = bytearray(), 0

    async def receive() -> None:
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(await peer.reader.read(65536))

    other = await world.caller()
    server = await world.exchange(other)
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(receive())
        while not receiving.done():
            await other.send(GET)
            await server.head()
            await server.send(OK)
            await other.read(len(OK))
            turns += 1
    assert received.count(b"x") == count
    assert turns > 3


@lane_test()
async def test_a_connection_goes_on_behind_a_body_of_small_chunks(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await caller.send(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    await peer.reader.readuntil(b"\r\n0\r\n\r\n")
    for _ in range(2):
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
        await caller.send(GET)
        assert await peer.head() == GET


SMALL = b"1\r\nx\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n"


async def pour_for_ever(peer: Peer, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await peer.send(data)


@contextlib.asynccontextmanager
async def pouring(peers, data):
    """Send data for ever on all connections, and drop what comes."""
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(pour_for_ever(peer, data)) for peer in peers]
        yield
        for task in working:
            task.cancel()


class Counted(Steps):
    """Knows how many steps have been put off."""

    steps = 0

    def put_off(self, step):
        self.steps += 1
        super().put_off(step)


@lane_test()
async def test_between_a_request_and_its_answer_few_small_chunks_are_read(world):
    """From sixteen callers, each of whom sends as many as it can."""
    counted = world.lane.steps = Counted()
    callers = [await world.caller() for _ in range(16)]
    for caller in callers:
        await caller.send(CHUNKED)
        await (await world.accept()).head()
    other = await world.caller()
    server = await world.exchange(other)
    async with pouring(callers, SMALL * 20_000):
        await world.wait(lambda: counted.steps > 1000)
        for _ in range(20):
            before = counted.steps
            await other.send(GET)
            await server.head()
            await server.send(OK)
            assert await other.read(len(OK)) == OK
            assert counted.steps - before < 200  # of 64 chunks, for five or ten turns of the loop


@lane_test()
async def test_a_body_that_is_nearly_all_framing_is_refused(world, framing_limit):
    caller = await world.caller()
    await caller.send(CHUNKED)
    peer = await world.accept()
    await peer.head()
    async with pouring([caller], SMALL * 20_000):
        error = await caller.error(400)
    assert error["reason"] == (
        "invalid HTTP request: the framing of its chunks outweighs them by more than "
        f"[{framing_limit}] bytes"
    )
    await peer.lost()


@lane_test()
async def test_small_chunks_behind_an_early_answer_are_dropped_to_their_end(world):
    caller = await world.caller()
    await caller.send(CHUNKED)
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK
    await caller.send(SMALL * 50_000 + b"0\r\n\r\n")
    await world.exchange(caller)


@lane_test()
async def test_what_follows_a_refusal_is_dropped_in_turns(world):
    """The caller gets its error although it goes on sending."""
    counted = world.lane.steps = Counted()
    callers = [await world.caller() for _ in range(8)]
    for caller in callers:
        await caller.send(b"GET / HTTP/2.0\r\nHost: es\r\n\r\n")
    async with pouring(callers, b"x" * 65536):
        for caller in callers:
            await caller.error(505)
        await world.wait(lambda: counted.steps > 20)
        await world.exchange(await world.caller())
