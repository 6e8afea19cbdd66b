"""Answers of an upstream through the lane, and what becomes of requests when it fails."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from proxy.lane.states import INTERIM_LIMIT
from tests.support.lanes import lane_test
from tests.support.peers import BROKEN, GET, HOST, OK, same_error

# --- answers


@lane_test()
async def test_a_request_and_its_answer_pass_untouched(world):
    caller = await world.caller()
    await caller.send(
        b"POST /a%2Fb/_search?q=a+b&x=%zz HTTP/1.1\r\nhost: Some.Host\r\nAuthorization: Basic x\r\n"
        b"Connection: keep-alive\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 4\r\n\r\nbody"
    )
    peer = await world.accept()
    assert await peer.head() == (
        b"POST /a%2Fb/_search?q=a+b&x=%zz HTTP/1.1\r\nhost: Some.Host\r\nAuthorization: Basic x\r\n"
        b"X-Twice: 1\r\nx-twice: 2\r\nContent-Length: 4\r\n\r\n"
    )
    assert await peer.read(4) == b"body"
    answer = (
        b"HTTP/1.1 404 Gone Fishing\r\nX-elastic-product: Elasticsearch\r\nWarning: a\r\n"
        b"warning: b\r\nX-Odd:   spaces  \r\nX-Latin: caf\xe9\r\ncontent-length: 3\r\n\r\n"
        b"\x1f\x8b\x00"
    )
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (b"HEAD /x HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 340\r\n\r\n"),
        (b"HEAD /x HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (b"HEAD /x HTTP/1.1\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"),
        (b"PUT /x HTTP/1.1\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET /x HTTP/1.1\r\n", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
        (b"GET /x HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
@lane_test()
async def test_answers_without_a_body_end_with_their_head(world, request_head, answer):
    caller = await world.caller()
    peer = await world.exchange(caller, request_head + HOST + b"\r\n", answer)
    await caller.send(GET)
    assert await peer.head() == GET


@lane_test()
async def test_a_chunked_answer_passes_as_it_is(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    await peer.send(head)
    assert await caller.read(len(head)) == head
    for piece in (b"00005;x\r\nhel", b"lo\r", b"\n0", b"\r\nX: y\r\n", b"\r\n"):
        await peer.send(piece)
        assert await caller.read(len(piece)) == piece
    await caller.send(GET)
    assert await peer.head() == GET


@lane_test()
async def test_an_answer_without_length_lasts_until_the_upstream_closes(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc")
    assert await caller.head() == b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n"
    await peer.send(b"def")
    assert await caller.read(6) == b"abcdef"
    await peer.close()
    assert await caller.rest() == b""


@lane_test()
async def test_an_upstream_that_closes_does_not_close_the_caller(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.0 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok")
    await peer.close()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert await caller.read(len(answer)) == answer
    await world.exchange(caller)


@lane_test()
async def test_the_upstream_is_asked_whether_to_continue(world):
    caller = await world.caller()
    head = b"PUT /x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    await caller.send(head)
    peer = await world.accept()
    assert await peer.head() == head
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await caller.send(b"body")
    assert await peer.read(4) == b"body"
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@lane_test()
async def test_the_upstream_may_refuse_instead_of_100(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n")
    # Whether the body comes now, nobody knows.
    answer = (
        b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"
    )
    assert await caller.rest() == answer
    await peer.lost()


@lane_test()
async def test_other_interim_answers_pass_in_http_1_1_only(world):
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3
    for version, expected in ((b"1.1", interim + OK), (b"1.0", b"")):
        caller = await world.caller()
        await caller.send(b"GET /x HTTP/" + version + b"\r\nHost: es\r\n\r\n")
        peer = await world.accept()
        await peer.head()
        await peer.send(interim + OK)
        if expected:
            assert await caller.read(len(expected)) == expected
            await peer.close()
        else:
            assert (await caller.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


@lane_test()
async def test_no_upgrade_comes_through(world):
    caller = await world.caller()
    await caller.send(b"GET / HTTP/1.1\r\nHost: es\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    peer = await world.accept()
    assert await peer.head() == b"GET / HTTP/1.1\r\nHost: es\r\n\r\n"
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
    await caller.error(502)


# --- when the upstream fails


@lane_test()
async def test_an_upstream_that_is_down_is_503_and_the_caller_may_try_again(world):
    world.upstream.close()
    caller = await world.caller()
    for _ in range(2):
        await caller.send(GET)
        same_error(await caller.error(503), "upstream node cannot be reached")


@lane_test()
async def test_the_body_for_an_upstream_that_is_down_is_not_taken_for_a_request(world):
    world.upstream.close()
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 1000\r\n\r\nabc")
    await caller.error(503)
    await caller.send(GET)
    assert await caller.rest() == b""


@pytest.mark.parametrize("started", [b"", b"HTTP/1.1 200 OK\r\nconte"])
@lane_test()
async def test_an_upstream_that_closes_before_its_answer_is_502(world, started):
    world.lane.upstream.node.probe.rule_out()  # TLS, which would take a connection, too
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(started)
    await peer.close()
    reason = "upstream node closed the connection without an answer"
    same_error(await caller.error(502), reason)
    await world.exchange(caller)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01\x00\x02",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
    ],
)
@lane_test()
async def test_an_upstream_that_does_not_speak_http_is_502(world, answer):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(answer)
    await caller.error(502)
    await peer.lost()
    await world.exchange(caller)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("name", BROKEN)
@lane_test()
async def test_half_an_answer_reaches_the_caller_broken(world, name, version):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/" + version + b"\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(BROKEN[name])
    await caller.head()
    await peer.close()
    with pytest.raises(ConnectionResetError):
        await caller.rest()


@lane_test()
async def test_an_endless_answer_that_is_reset_reaches_the_caller_broken(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    await caller.head()
    assert await caller.read(3) == b"abc"
    peer.reset()
    with pytest.raises(ConnectionResetError):
        await caller.rest()


@lane_test()
async def test_a_bad_chunk_in_an_answer_cuts_it(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(BROKEN["chunked"])
    await caller.head()
    await peer.send(b"zz\r\n")
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    await peer.lost()


@lane_test()
async def test_what_comes_behind_an_answer_reaches_nobody(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    assert await caller.read(len(OK)) == OK
    await peer.lost()
    await world.exchange(caller)


@lane_test()
async def test_what_comes_unasked_reaches_nobody(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    await peer.lost()
    await world.exchange(caller)


# --- when a request is sent again


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        b"PUT /x HTTP/1.1\r\nHost: es\r\nContent-Length: 4\r\n\r\nbody",
        b"DELETE /x HTTP/1.1\r\nHost: es\r\n\r\n",
    ],
)
@lane_test()
async def test_a_request_is_repeated_when_an_idle_connection_proves_dead(world, request_):
    caller = await world.caller()
    stale = await world.exchange(caller)
    await caller.send(request_)
    assert await stale.read(len(request_)) == request_
    await stale.close()
    peer = await world.accept()
    assert await peer.read(len(request_)) == request_
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@lane_test()
async def test_a_body_that_came_in_pieces_is_repeated_and_goes_on(world):
    caller = await world.caller()
    stale = await world.exchange(caller)
    head = b"PUT /x HTTP/1.1\r\nHost: es\r\nContent-Length: 6\r\n\r\n"
    for piece in (head, b"ab", b"cd"):
        await caller.send(piece)
        assert await stale.read(len(piece)) == piece
    await stale.close()
    peer = await world.accept()
    assert await peer.read(len(head) + 4) == head + b"abcd"
    await caller.send(b"ef")
    assert await peer.read(2) == b"ef"


@lane_test()
async def test_a_post_is_not_repeated(world):
    caller = await world.caller()
    stale = await world.exchange(caller)
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\n\r\n")
    await stale.head()
    await stale.close()
    await caller.error(502)
    assert world.connections == 1


@lane_test()
async def test_a_request_is_not_repeated_once_an_answer_began(world):
    caller = await world.caller()
    stale = await world.exchange(caller)
    await caller.send(GET)
    await stale.head()
    await stale.send(b"HTTP/1.1 2")
    await stale.close()
    await caller.error(502)
    assert world.connections == 1


@lane_test()
async def test_a_request_is_not_repeated_when_its_body_is_gone(world):
    caller = await world.caller()
    stale = await world.exchange(caller)
    body = b"x" * 200_000
    await caller.send(b"PUT /x HTTP/1.1\r\nHost: es\r\nContent-Length: 200000\r\n\r\n" + body)
    await stale.head()
    await stale.read(len(body))
    await stale.close()
    await caller.error(502)
    assert world.connections == 1


@lane_test()
async def test_a_new_connection_is_not_tried_twice(world):
    world.lane.upstream.node.probe.rule_out()  # TLS, which would take a connection, too
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.close()
    await caller.error(502)
    assert world.connections == 1


# --- too much of nothing


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints", b"199 x"])
@lane_test()
async def test_interim_answers_without_end_are_502(world, status):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    interim = b"HTTP/1.1 " + status + b"\r\n\r\n"
    peer.writer.write(interim * 10_000)
    for _ in range(INTERIM_LIMIT):
        assert await caller.head() == interim
    error = await caller.error(502)
    assert error["reason"].endswith(
        f"did not answer properly: it sent more than [{INTERIM_LIMIT}] interim answers"
    )
    await peer.lost()


@lane_test()
async def test_a_few_interim_answers_to_each_request_pass(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    for _ in range(3):
        await caller.send(GET)
        await peer.head()
        await peer.send(interim * INTERIM_LIMIT + OK)
        expected = interim * INTERIM_LIMIT + OK
        assert await caller.read(len(expected)) == expected
    assert world.connections == 1


CHUNKS = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"


@pytest.mark.parametrize("leaves", [False, True])
@lane_test()
async def test_an_answer_in_small_chunks_passes_byte_for_byte(world, leaves):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(peer.send(head + CHUNKS))
        assert await caller.read(len(head + CHUNKS)) == head + CHUNKS
    if leaves:
        peer.end()
        assert await peer.rest() == b""
    else:
        await caller.send(GET)
        assert await peer.head() == GET
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
        assert world.connections == 1


@pytest.mark.usefixtures("framing_limit")
@lane_test()
async def test_an_answer_that_is_nearly_all_framing_is_cut(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")

    async def pour():
        with contextlib.suppress(ConnectionError):
            while True:
                await peer.send(CHUNKS[:-5])

    async with asyncio.TaskGroup() as tasks:
        pouring = tasks.create_task(pour())
        with pytest.raises(ConnectionResetError):
            await caller.rest()
        await pouring
