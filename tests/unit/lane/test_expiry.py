"""Deadlines of a caller's connection."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from proxy.config import LimitsConfig
from proxy.ground.steps import Step, Steps
from proxy.lane import Patience
from proxy.lane.caller import CallerSide
from proxy.lane.states import HEAD
from tests.support.lanes import lane_test
from tests.support.peers import GET, OK, Peer


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
        while True:
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


@lane_test(patience=Patience(body=0.3))
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


# --- callers who do not read


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


@pytest.mark.parametrize("half_closed", [False, True])
@lane_test(limits=LimitsConfig(keepalive_timeout=0.1), patience=Patience(half_closed=0.1))
async def test_a_deadline_that_is_seen_twice_is_acted_on_once(world, half_closed):
    kept = world.lane.steps = Kept()
    caller = await world.caller()
    peer = await world.exchange(caller)
    if half_closed:
        await caller.send(GET)
        caller.writer.write_eof()
        await peer.head()
    await world.wait(lambda: len(kept.steps) > 1)
    first, *others = kept.steps
    first()
    await world.wait(lambda: not world.lane.callers)
    for step in others:
        step()


@lane_test(limits=LimitsConfig(head_timeout=0.2))
async def test_deadlines_that_pass_together_are_acted_on_in_turns(world):
    kept = world.lane.steps = Kept()
    callers = [await world.caller() for _ in range(10)]
    for caller in callers:
        await caller.send(b"GET / HTTP/1.1\r\n")

    def those_in_time() -> list[CallerSide]:
        return [side for side in world.lane.callers if side.state is HEAD]

    await world.wait(lambda: all(side.reads_head for side in world.lane.callers))
    for left in range(9, -1, -1):
        while len(those_in_time()) > left:
            await world.wait(lambda: bool(kept.steps))
            kept.steps.pop(0)()
        assert len(those_in_time()) == left
    for caller in callers:
        await caller.error(408)


class Kept(Steps):
    """Steps that are never taken."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def put_off(self, step: Step) -> None:
        self.steps.append(step)
