"""Bodies on their way upstream."""

from __future__ import annotations

import asyncio
import hashlib

from tests.support.forwarding import error_of
from tests.support.peers import GET, MIB, OK, noise, same_error


async def test_bodies_stream_both_ways(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer = await world.accept()
    await caller.send(b"3\r\nabc\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in await peer.head()
    assert await peer.read(8) == b"3\r\nabc\r\n"
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndefg\r\n")
    assert (await caller.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await caller.read(9) == b"4\r\ndefg\r\n"
    await caller.send(b"0\r\n\r\n")
    assert await peer.read(5) == b"0\r\n\r\n"
    await peer.send(b"0\r\n\r\n")
    assert await caller.read(5) == b"0\r\n\r\n"


async def test_large_bodies_pass_whole(world):
    body = noise(32 * MIB)
    caller = await world.caller()
    async with asyncio.TaskGroup() as tasks:
        head = b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: %d\r\n\r\n" % len(body)
        tasks.create_task(caller.send(head + body))
        peer = await world.accept()
        await peer.head()
        assert hashlib.sha256(await peer.read(len(body))).digest() == hashlib.sha256(body).digest()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        )
        await caller.head()
        got = await caller.read(len(body))
        assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()


async def test_a_head_goes_on_before_its_body_comes(world):
    """Elasticsearch refuses a media type by the head alone."""
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 2\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK
    await caller.send(b"{}" + GET)
    await (await world.accept()).head()


async def test_the_upstream_is_asked_whether_to_continue(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    peer = await world.accept()
    assert b"\r\nExpect: 100-continue\r\n" in await peer.head()
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await caller.send(b"body")
    assert await peer.read(4) == b"body"
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


async def test_the_upstream_may_refuse_instead_of_100(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    peer = await world.accept()
    await peer.head()
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer


async def test_an_answer_may_come_while_the_body_is_sent(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 1000000\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert (await caller.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await caller.read(2) == b"ok"
    await peer.lost()


async def test_a_body_that_stalls_ends_the_request(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    same_error(await error_of(caller, 408), "the request's body did not come in time")
    await peer.lost()
