"""How the lane connects: to the application, and to nodes that are slow or speak TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextvars import ContextVar

import pytest
from aiohttp import web
from yarl import URL

from proxy.lane import Patience
from proxy.limits.calls import address_of_caller
from tests.support.certificates import contexts
from tests.support.lanes import LOOPS, lane_test, make_lane
from tests.support.peers import GET, MIB, OK, Peer, noise, same_error

# --- the application


async def count(request: web.BaseRequest) -> web.StreamResponse:
    """An application that answers how many bytes of a body it has seen."""
    response = web.StreamResponse(headers={"X-Target": request.raw_path})
    await response.prepare(request)
    total = 0
    async for piece in request.content.iter_any():
        total += len(piece)
    await response.write(b"%d" % total)
    await response.write_eof()
    return response


@lane_test(handler=count)
async def test_inference_goes_to_the_application_and_the_rest_upstream(world):
    caller = await world.caller()
    for _ in range(3):
        await caller.send(
            b"POST /_inference/%5fx?a=%2f HTTP/1.1\r\nHost: es\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert b"\r\nX-Target: /_inference/%5fx?a=%2f\r\n" in await caller.head()
        assert await caller.read(11) == b"1\r\n4\r\n0\r\n\r\n"
        await caller.send(b"GET /%5finference/x HTTP/1.1\r\nHost: es\r\n\r\n")
        peer = await world.accept()
        assert await peer.head() == b"GET /%5finference/x HTTP/1.1\r\nHost: es\r\n\r\n"
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
        await peer.close()
    assert len(world.lane.application.sides) == 1


@lane_test(handler=count)
async def test_large_bodies_reach_the_application(world):
    caller = await world.caller()
    size = 32 * MIB
    await caller.send(
        b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nContent-Length: %d\r\n\r\n" % size
    )
    await caller.send(noise(size))
    await caller.head()
    assert await caller.reader.readline() == b"8\r\n"
    assert await caller.read(8) == b"%d" % size


@lane_test(handler=count)
async def test_the_application_may_be_called_in_http_1_0(world):
    caller = await world.caller()
    await caller.send(b"POST /_inference/x HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody")
    assert (await caller.rest()).endswith(b"\r\n\r\n4")


async def whose(request: web.BaseRequest) -> web.StreamResponse:
    """An application that answers where its caller is."""
    address = address_of_caller.get()
    assert address is not None
    return web.Response(text=address())


@lane_test(handler=whose)
async def test_the_application_is_told_who_calls_though_connections_are_shared(world):
    assert address_of_caller.get() is None
    for address in ("127.0.0.1", "127.0.0.3", "127.0.0.2"):
        caller = await world.caller(local_addr=(address, 0))
        await caller.send(b"GET /_inference/x HTTP/1.1\r\nHost: es\r\nX-Forwarded-For: 1\r\n\r\n")
        assert b"\r\nContent-Length: 9\r\n" in await caller.head()
        assert await caller.read(9) == address.encode()
    assert len(world.lane.application.sides) == 1


LAST: ContextVar[str] = ContextVar("last", default="nobody")


async def whom_it_follows(request: web.BaseRequest) -> web.StreamResponse:
    """An application that answers what the context says, and closes the connection."""
    last = LAST.get()
    LAST.set(request.path)
    response = web.StreamResponse(headers={"Connection": "close"})
    await response.prepare(request)
    await response.write(last.encode())
    await response.write_eof()
    return response


@lane_test(handler=whom_it_follows)
async def test_a_connection_made_amid_a_request_has_nothing_of_its_context(world):
    caller = await world.caller()
    await caller.send(b"GET /_inference/x HTTP/1.1\r\nHost: es\r\n\r\n" * 2)
    for _ in range(2):
        await caller.head()
        assert await caller.read(16) == b"6\r\nnobody\r\n0\r\n\r\n"


EVENTS: dict[str, asyncio.Event] = {}


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    EVENTS["started"].set()
    try:
        await asyncio.Event().wait()
    finally:
        EVENTS["cancelled"].set()
    raise AssertionError


@lane_test(handler=hang, patience=Patience(half_closed=0.1))
async def test_a_caller_that_hangs_up_cancels_the_handler(world):
    EVENTS.update(started=asyncio.Event(), cancelled=asyncio.Event())
    caller = await world.caller()
    await caller.send(b"GET /_inference/x HTTP/1.1\r\nHost: es\r\n\r\n")
    await EVENTS["started"].wait()
    await caller.close()
    await EVENTS["cancelled"].wait()


# --- the upstream


def test_an_upstream_that_does_not_accept_is_504():
    async def scenario():
        with socket.socket() as silent, contextlib.ExitStack() as stack:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            for _ in range(4):  # until its queue is full
                extra = stack.enter_context(socket.socket())
                extra.setblocking(False)
                extra.connect_ex(silent.getsockname())
            url = URL(f"http://127.0.0.1:{silent.getsockname()[1]}")
            lane = make_lane(url, connect_timeout=0.2)
            caller = Peer(*await asyncio.open_connection(*await lane.listen("127.0.0.1", 0)))
            await caller.send(GET)
            reason = "upstream node did not accept a connection in time"
            same_error(await caller.error(504), reason)
            await caller.close()
            await lane.drain(1)

    asyncio.run(scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_both_sides_may_speak_tls(loop, tmp_path):
    server_context, client_context = contexts(tmp_path)
    body = noise(4 * MIB)

    async def answer(reader, writer):
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async def scenario():
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
        url = URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for context, status in ((client_context, 200), (None, 503)):
            lane = make_lane(url, connect_timeout=5, ssl=context)
            address = await lane.listen("127.0.0.1", 0, ssl=server_context)
            caller = Peer(*await asyncio.open_connection(*address, ssl=client_context))
            await caller.send(GET)
            if status == 200:
                await caller.head()
                assert await caller.read(len(body)) == body
                await caller.send(b"GET /x HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n")
                await caller.head()
                assert await caller.rest() == body
            else:  # a certificate that nobody vouches for
                await caller.error(503)
            await caller.close()
            await lane.drain(1)
        server.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scenario())
