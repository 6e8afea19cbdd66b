"""A caller's connection: its deadlines, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

import pytest
from aiohttp import web

from proxy.config import LimitsConfig
from proxy.lane import Patience
from tests.support.lanes import lane_test
from tests.support.peers import GET, MIB, OK, Peer, noise

# --- deadlines


@lane_test(limits=LimitsConfig(head_timeout=0.2))
async def test_slow_heads_are_refused(world):
    caller = await world.caller()
    await world.exchange(caller)
    await caller.send(b"GET / HTTP/1.1\r\n")
    await caller.error(408)
    assert await caller.rest() == b""


@lane_test(limits=LimitsConfig(head_timeout=0.2))
async def test_a_head_that_drips_is_refused(world):
    caller = await world.caller()

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 1000:
                await caller.send(bytes((byte,)))
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        dripping = tasks.create_task(drip())
        await caller.error(408)
        dripping.cancel()


@lane_test(limits=LimitsConfig(head_timeout=0.2))
async def test_a_connection_without_any_request_is_closed(world):
    caller = await world.caller()
    assert await caller.rest() == b""


@lane_test(limits=LimitsConfig(keepalive_timeout=0.2))
async def test_idle_connections_are_closed(world):
    caller = await world.caller()
    await world.exchange(caller)
    assert await caller.rest() == b""


@lane_test(limits=LimitsConfig(keepalive_timeout=0.3, head_timeout=0.3))
async def test_empty_lines_are_no_request(world):
    caller = await world.caller()

    async def send_empty_lines() -> None:
        for _ in range(100):
            await caller.send(b"\r\n")
            await asyncio.sleep(0.02)

    with pytest.raises(ConnectionError):
        await send_empty_lines()


@lane_test(patience=Patience(body=0.2))
async def test_slow_bodies_are_refused(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    await caller.error(408)
    assert await caller.rest() == b""
    await peer.read(3)
    await peer.lost()


@lane_test(patience=Patience(body=0.3), limits=LimitsConfig(body_rate=100))
async def test_a_body_that_drips_is_refused_and_one_that_flows_is_not(world):
    for size, refused in ((1, True), (10, False)):
        caller = await world.caller()
        head = b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: %d\r\n\r\n" % (20 * size)
        await caller.send(head)
        peer = await world.accept()
        await peer.head()
        for _ in range(20):
            await caller.send(b"x" * size)
            await asyncio.sleep(0.03)
        if refused:
            await caller.error(408)
        else:
            await peer.send(OK)
            assert await caller.read(len(OK)) == OK


async def send_for_ever(peer: Peer, size: int) -> None:
    while True:
        await peer.send(b"x" * size)
        await asyncio.sleep(0.001)


@lane_test(patience=Patience(linger=0.2))
async def test_a_caller_that_goes_on_after_its_refusal_is_cut(world):
    caller = await world.caller()
    await caller.send(b"GET / HTTP/2.0\r\nHost: es\r\n\r\n")
    await caller.error(505)
    with pytest.raises(ConnectionError):
        await send_for_ever(caller, 1000)


# --- back-pressure


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
    count = 6 * MIB // 6
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


@lane_test(patience=Patience(reader=0.3))
async def test_a_caller_that_does_not_read_is_cut(world):
    caller = await world.caller(limit=1000)
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
    with pytest.raises(ConnectionError):
        await send_for_ever(peer, 65536)


@lane_test(patience=Patience(reader=0.3))
async def test_a_caller_that_does_not_read_an_answer_that_has_ended_is_cut(world):
    caller = await world.caller(limit=1000)
    await caller.send(GET * 200)
    peer = await world.accept()

    async def answer_all() -> None:
        body = b"x" * 200_000
        while True:
            await peer.head()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer_all())
        await world.wait(lambda: not world.lane.callers)
        answering.cancel()
    other = await world.caller()
    await other.send(GET)
    assert await peer.head() == GET  # it was given back all the same


async def answer_for_ever(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


@lane_test(patience=Patience(reader=0.3), handler=answer_for_ever)
async def test_a_caller_that_does_not_read_an_answer_of_the_application_is_cut(world):
    caller = await world.caller(limit=1000)
    await caller.send(b"GET /_inference/x HTTP/1.1\r\nHost: es\r\n\r\n")
    await world.wait(lambda: not world.lane.callers)
