"""Requests of a caller: read in pieces, refused, sent on, given up."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import LimitsConfig
from proxy.lane import Patience
from tests.support.http1 import REFUSED
from tests.support.lanes import lane_test
from tests.support.peers import BROKEN, GET, HOST, OK, Peer

METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "QUERY", "FOO"]


@pytest.mark.parametrize("method", METHODS)
@lane_test()
async def test_every_method_passes_with_a_body(world, method):
    caller = await world.caller()
    await caller.send(method.encode() + b" /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}")
    peer = await world.accept()
    assert (await peer.head()).startswith(method.encode() + b" /x HTTP/1.1\r\n")
    assert await peer.read(2) == b"{}"
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@lane_test()
async def test_a_sized_body_streams(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    for piece in (b"0", b"123", b"456789"):
        await caller.send(piece)
        assert await peer.read(len(piece)) == piece
    await peer.send(OK[:-2])
    assert await caller.read(len(OK) - 2) == OK[:-2]
    for byte in (b"o", b"k"):
        await peer.send(byte)
        assert await caller.read(1) == byte


@lane_test()
async def test_a_chunked_body_streams_in_chunks_of_our_own(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    peer = await world.accept()
    assert (await peer.head()).endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    await caller.send(b"0003;ext=1\r\nabc\r\n")
    assert await peer.read(8) == b"3\r\nabc\r\n"
    await caller.send(b"A\r\n01234")
    assert await peer.read(10) == b"5\r\n01234\r\n"
    await caller.send(b"56789\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert await peer.read(15) == b"5\r\n56789\r\n0\r\n\r\n"
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@lane_test()
async def test_heads_may_come_in_two_pieces_cut_anywhere(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    for cut in range(1, len(GET)):
        await caller.send(GET[:cut])
        await asyncio.sleep(0)
        await caller.send(GET[cut:])
        assert await peer.head() == GET
        await peer.send(OK[: cut % len(OK)])
        await asyncio.sleep(0)
        await peer.send(OK[cut % len(OK) :])
        assert await caller.read(len(OK)) == OK


# --- what is refused


@pytest.mark.parametrize("name", REFUSED)
@lane_test()
async def test_what_is_refused_is_answered_and_nothing_of_it_forwarded(world, name):
    raw, status = REFUSED[name]
    caller = await world.caller()
    await caller.send(raw + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n")
    await caller.error(status)
    assert await caller.rest() == b""
    assert world.connections == 0


@lane_test()
async def test_what_is_refused_behind_a_good_request_waits_for_its_answer(world):
    caller = await world.caller()
    await caller.send(GET + b"GET / HTTP/2.0\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK
    await caller.error(505)
    assert await caller.rest() == b""


@pytest.mark.parametrize(
    "chunk", [b"0x2\r\n", b"2\r\nabc", b"2\nab", b"-1\r\n", b"0\r\nHost: x\r\n"]
)
@lane_test()
async def test_a_bad_chunk_ends_the_request_on_both_sides(world, chunk):
    caller = await world.caller()
    head = b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n"
    await caller.send(head + b"1\r\na\r\n")
    peer = await world.accept()
    await peer.head()
    assert await peer.read(6) == b"1\r\na\r\n"
    await caller.send(chunk + b"\r\nGET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n")
    await caller.error(400)
    assert await caller.rest() == b""
    await peer.lost()


@lane_test()
async def test_a_bad_first_chunk_reaches_nobody(world):
    caller = await world.caller()
    head = b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n"
    await caller.send(head + b"0x1\r\na\r\n")
    await caller.error(400)
    assert world.connections == 0


@lane_test()
async def test_a_bad_chunk_after_the_answer_began_cuts_it(world):
    caller = await world.caller()
    await caller.send(
        b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    )
    peer = await world.accept()
    await peer.head()
    await peer.send(OK[:-1])
    assert await caller.read(len(OK) - 1) == OK[:-1]
    await caller.send(b"bad\n")
    with pytest.raises(ConnectionResetError):
        await caller.rest()


@lane_test(limits=LimitsConfig(head=1024))
async def test_long_heads_are_refused(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.1\r\nHost: es\r\nX: " + b"x" * 5000)
    await caller.error(431)
    assert await caller.rest() == b""


# --- callers who leave


@lane_test()
async def test_a_caller_that_leaves_its_body_unfinished_ends_the_request(world):
    for leave in (Peer.end, Peer.reset):
        caller = await world.caller()
        await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10\r\n\r\nabc")
        peer = await world.accept()
        await peer.head()
        await peer.read(3)
        leave(caller)
        await peer.lost()


@lane_test(patience=Patience(half_closed=0.1))
async def test_a_caller_that_hangs_up_ends_the_request(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await caller.close()
    await peer.lost()


@lane_test(patience=Patience(half_closed=0.1))
async def test_a_caller_that_hangs_up_amid_the_answer_ends_the_request(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(BROKEN["chunked"])
    await caller.head()
    await caller.close()
    await peer.lost()


@lane_test()
async def test_a_caller_that_resets_ends_the_request(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    caller.reset()
    await peer.lost()


@lane_test()
async def test_a_caller_that_leaves_before_there_is_a_connection_leaves_nothing_behind(world):
    for _ in range(20):
        caller = await world.caller()
        await caller.send(GET)
        caller.reset()
    await world.wait(lambda: not world.lane.callers)
    await world.wait(lambda: not world.lane.upstream.sides)
