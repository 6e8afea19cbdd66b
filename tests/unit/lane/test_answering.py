"""Answers to a caller: in order, early, in HTTP/1.0, and to callers who have half closed."""

from __future__ import annotations

import asyncio

from proxy.lane import Patience
from tests.support.lanes import lane_test
from tests.support.peers import GET, MIB, OK


@lane_test()
async def test_pipelined_requests_are_answered_in_order_one_at_a_time(world):
    caller = await world.caller()
    requests = [b"GET /%d HTTP/1.1\r\nHost: es\r\n\r\n" % number for number in range(20)]
    posts = [b"POST /p HTTP/1.1\r\nHost: es\r\nContent-Length: 3\r\n\r\nabc"]
    await caller.send(b"".join(requests + posts))
    peer = await world.accept()
    for number, request in enumerate(requests):
        assert await peer.head() == request
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n%02d" % number
        await peer.send(answer)
        assert await caller.read(len(answer)) == answer
    assert await peer.read(len(posts[0])) == posts[0]
    assert world.connections == 1


@lane_test()
async def test_pipelined_requests_are_held_within_bounds(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    caller.writer.transport.set_write_buffer_limits(high=0)
    request = b"GET /" + b"x" * 1000 + b" HTTP/1.1\r\nHost: es\r\n\r\n"
    flood = asyncio.ensure_future(caller.send(request * 20_000))
    await peer.head()
    await world.wait(lambda: len(next(iter(world.lane.callers)).pipelined) > 65536)
    assert not flood.done()
    assert len(next(iter(world.lane.callers)).pipelined) < 1 * MIB
    for _ in range(5):
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
        assert await peer.head() == request
    flood.cancel()


# --- HTTP/1.0, and callers who want to close


@lane_test()
async def test_a_caller_may_speak_http_1_0(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.0\r\n\r\n")
    peer = await world.accept()
    assert await peer.head() == b"GET /x HTTP/1.1\r\nHost: \r\n\r\n"
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel")
    assert await caller.head() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    await peer.send(b"lo\r\n0\r\n\r\n")
    assert await caller.rest() == b"hello"


@lane_test()
async def test_a_caller_may_keep_its_connection_in_http_1_0(world):
    caller = await world.caller()
    request = b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    await caller.send(request)
    peer = await world.accept()
    for _ in range(2):
        await peer.head()
        await peer.send(OK)
        assert await caller.head() == (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive\r\n\r\n"
        )
        assert await caller.read(2) == b"ok"
        await caller.send(request)


@lane_test()
async def test_a_caller_may_ask_to_close(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n" + GET)
    peer = await world.accept()
    assert await peer.head() == GET
    await peer.send(OK)
    assert await caller.rest() == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nok"
    )
    other = await world.caller()
    await other.send(GET)
    assert await peer.head() == GET  # the upstream connection is kept all the same


@lane_test()
async def test_what_follows_a_last_request_does_not_cost_its_answer(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.0\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    await caller.send(b"\r\n")
    assert (await caller.rest()).endswith(b"\r\n\r\nok")


@lane_test(patience=Patience(half_closed=1.0))
async def test_a_half_closed_caller_gets_its_answers_as_long_as_they_flow(world):
    caller = await world.caller()
    await caller.send(GET + GET)
    caller.end()
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    for _ in range(5):  # longer than the patience, all in all
        await asyncio.sleep(0.25)
        await peer.send(b"x")
    assert await peer.head() == GET
    await peer.send(OK)
    assert await caller.rest() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nxxxxx" + OK


# --- answers that come before the body has ended


@lane_test()
async def test_an_answer_may_come_while_the_body_is_sent(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10003\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK
    await peer.lost()
    for _ in range(10):
        await caller.send(b"x" * 1000)  # what the caller has still under way
    await world.exchange(caller)


@lane_test(patience=Patience(linger=0.2))
async def test_an_answered_body_that_does_not_end_ends_the_connection(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 1000\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.rest() == OK


@lane_test()
async def test_a_bad_chunk_behind_an_early_answer_ends_the_connection(world):
    caller = await world.caller()
    await caller.send(
        b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    )
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK
    await caller.send(b"zz\r\n" + GET)
    assert await caller.rest() == b""


@lane_test()
async def test_an_answer_may_stream_while_the_body_streams(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
    await peer.send(head)
    assert await caller.read(len(head)) == head
    for number in range(10):
        await caller.send(b"%d" % number)
        assert await peer.read(1) == b"%d" % number
        await peer.send(b"%d" % number)
        assert await caller.read(1) == b"%d" % number
    await caller.send(GET)
    assert await peer.head() == GET
