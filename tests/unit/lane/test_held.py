"""What is kept for callers, and who ends when that is too much."""

from __future__ import annotations

import asyncio

import pytest

from proxy.lane.held import Held
from tests.support.lanes import lane_test
from tests.support.peers import GET, HOST, MIB, OK


class Holder:
    def __init__(self, held):
        self.held = held
        self.ended = False

    def let_go(self):
        self.ended = True
        self.held = 0


def test_who_has_held_something_for_longest_ends_first():
    held = Held(most=100)
    holders = [Holder(20) for _ in range(5)]
    for holder in holders:
        held.note(holder)
    assert held.total == 100
    assert not any(holder.ended for holder in holders)
    held.note(Holder(1))
    assert [holder.ended for holder in holders] == [True, True, False, False, False]
    assert held.total == 61


def test_who_holds_nothing_any_more_is_left_alone():
    held = Held(most=100)
    reader, stalled, late = Holder(50), Holder(50), Holder(50)
    held.note(reader)
    held.note(stalled)
    reader.held = 0  # nobody has told
    held.note(late)
    assert (held.total, reader.ended, stalled.ended, late.ended) == (100, False, False, False)


def test_who_is_closed_is_forgotten():
    held = Held(most=100)
    holder = Holder(50)
    held.note(holder)
    held.forget(holder)
    held.forget(holder)
    assert held.total == 0


def bounded(world, most):
    world.lane.held = Held(most)


@lane_test()
async def test_heads_that_do_not_end_are_given_up_when_they_are_too_many(world):
    bounded(world, 1 * MIB)
    callers = [await world.caller() for _ in range(20)]
    for caller in callers:
        await caller.send(b"GET /x HTTP/1.1\r\nX: " + b"x" * 60_000)
    error = await callers[0].error(429)
    assert error["reason"] == "callers' connections hold too many bytes together"
    await world.wait(lambda: world.lane.held.total <= MIB)
    await callers[-1].send(b"\r\n" + HOST + b"\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await callers[-1].read(len(OK)) == OK


@lane_test()
async def test_callers_who_do_not_read_end_when_they_are_too_many(world):
    bounded(world, 1 * MIB)
    callers = [await world.caller(limit=1024) for _ in range(20)]
    body = b"x" * (16 * MIB)
    async with asyncio.TaskGroup() as tasks:
        sending = []
        for caller in callers:
            caller.reader._transport.pause_reading()
            await caller.send(GET)
            peer = await world.accept()
            await peer.head()
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            sending.append(tasks.create_task(poured(peer, answer + body)))
        await world.wait(lambda: len(world.lane.callers) < len(callers))
        await world.wait(lambda: world.lane.held.total <= MIB)
        assert world.lane.callers
        for task in sending:
            task.cancel()


async def poured(peer, data):
    try:
        await peer.send(data)
    except ConnectionError:
        return


@lane_test()
async def test_pipelined_requests_end_when_they_are_too_many(world):
    bounded(world, 1 * MIB)
    callers = [await world.caller() for _ in range(20)]
    for caller in callers:
        await caller.send(GET)
        await (await world.accept()).head()
        caller.writer.write(GET * 4000)
    await callers[0].error(429)
    await world.wait(lambda: world.lane.held.total <= MIB)


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n"])
@lane_test()
async def test_a_connection_that_ends_holds_nothing(world, chunk):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    await (await world.accept()).head()
    caller.writer.write(chunk * 30_000)
    await world.wait(lambda: world.lane.held.total > 0)
    caller.reset()
    await world.wait(lambda: world.lane.held.total == 0)
