"""The lane between raw sockets: what goes in, what comes out, and what happens when a side fails.

Each test runs on uvloop and on asyncio's own loop, and fails if anything reaches the loop's
exception handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import orjson
import pytest
import uvloop
from aiohttp import web
from yarl import URL

from proxy.config import LimitsConfig
from proxy.lane import Lane, Patience
from proxy.limits.calls import address_of_caller
from proxy.upstream.nodes import Nodes
from tests.support.certificates import contexts
from tests.unit.http1.test_requests import REFUSED

LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
HOST: Final = b"Host: es\r\n"
GET: Final = b"GET /x HTTP/1.1\r\nHost: es\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PATIENT: Final = Patience(body=30, reader=30, half_closed=5, linger=30, idle=30)
MIB: Final = 1024 * 1024


class Peer:
    """One end of a connection to the lane, in the hands of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """All up to the end; raises ConnectionResetError where the connection was reset."""
        return await self.reader.read()

    async def lost(self) -> None:
        """Wait for the end of the connection, in whatever way."""
        with contextlib.suppress(ConnectionResetError):
            await self.reader.read()

    async def error(self, status: int) -> dict[str, Any]:
        """The error that is answered, checked for Elasticsearch's form."""
        head = await self.head()
        lines = head.decode().split("\r\n")
        assert lines[0].startswith(f"HTTP/1.1 {status} ")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:-2])
        assert headers["x-elastic-product"] == "elasticsearch"
        assert headers["content-type"] == "application/json"
        document = orjson.loads(await self.read(int(headers["content-length"])))
        assert document["status"] == status
        assert document["error"]["root_cause"][0]["type"] == document["error"]["type"]
        error: dict[str, Any] = document["error"]
        return error

    def end(self) -> None:
        """Close our side only."""
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        if not self.writer.is_closing():
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class World:
    """A lane between callers and an upstream, both played by the test."""

    def __init__(self, lane: Lane, address: tuple[str, int], upstream: asyncio.Server) -> None:
        self.lane = lane
        self.address = address
        self.upstream = upstream
        self.connections = 0  # that the upstream has accepted
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.callers: list[Peer] = []
        self.peers: list[Peer] = []  # that the upstream has accepted

    async def caller(self, **options: Any) -> Peer:
        peer = Peer(*await asyncio.open_connection(*self.address, **options))
        self.callers.append(peer)
        return peer

    async def accept(self) -> Peer:
        """The next connection that the lane makes to the upstream."""
        return await self.accepted.get()

    async def exchange(self, caller: Peer, request: bytes = GET, answer: bytes = OK) -> Peer:
        """Have a request answered on a new upstream connection, which is idle then."""
        await caller.send(request)
        peer = await self.accept()
        await peer.head()
        await peer.send(answer)
        assert await caller.read(len(answer)) == answer
        return peer

    async def wait(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


async def idle_handler(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("not for the application")


@contextlib.asynccontextmanager
async def build(
    *,
    limits: LimitsConfig,
    patience: Patience,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None,
    connect_timeout: float,
) -> AsyncIterator[World]:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, fault: faults.append(fault))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        world.peers.append(peer)
        world.connections += 1
        await world.accepted.put(peer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4 * MIB)
    host, port = server.sockets[0].getsockname()[:2]
    runner = web.ServerRunner(web.Server(handler or idle_handler, handler_cancellation=True))
    await runner.setup()
    lane = Lane(
        upstream=Nodes(f"http://{host}:{port}"),
        application=runner.server,
        limits=limits,
        connect_timeout=connect_timeout,
        patience=patience,
    )
    world = World(lane, await lane.listen("127.0.0.1", 0), server)
    try:
        yield world
    finally:
        for peer in world.callers:
            peer.reset()
        await lane.drain(1)
        assert not lane.callers
        await runner.cleanup()
        server.close()
        for peer in world.callers + world.peers:
            await peer.close()
    assert faults == []


def lane_test(
    limits: LimitsConfig | None = None,
    patience: Patience = PATIENT,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None,
    connect_timeout: float = 5,
):
    """Run a test in a world of its own, on each kind of loop."""

    def decorate(test):
        async def scenario(**arguments):
            async with asyncio.timeout(60):
                async with build(
                    limits=limits or LimitsConfig(),
                    patience=patience,
                    handler=handler,
                    connect_timeout=connect_timeout,
                ) as world:
                    await test(world, **arguments)

        def run(loop, **arguments):
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(scenario(**arguments))

        names = ["loop", *list(inspect.signature(test).parameters)[1:]]
        kind = inspect.Parameter.KEYWORD_ONLY
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
        vars(run).update(__signature__=signature, pytestmark=getattr(test, "pytestmark", []))
        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return pytest.mark.parametrize("loop", LOOPS)(run)

    return decorate


# --- requests and answers


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


@lane_test()
async def test_connections_are_kept_on_both_sides(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    for _ in range(3):
        await caller.send(GET)
        assert await peer.head() == GET
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
    other = await world.caller()
    await other.send(GET)
    assert await peer.head() == GET
    assert world.connections == 1


METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "QUERY"]


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
    await world.wait(lambda: len(next(iter(world.lane.callers))._held) > 65536)
    assert not flood.done()
    assert len(next(iter(world.lane.callers))._held) < 1 * MIB
    for _ in range(5):
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
        assert await peer.head() == request
    flood.cancel()


# --- HTTP/1.0, endless answers, 1xx


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


# --- when the upstream fails


def same_error(error: dict[str, Any], reason: str) -> None:
    cause = {"type": "status_exception", "reason": reason}
    assert error == {"root_cause": [cause], **cause}


@lane_test()
async def test_an_upstream_that_is_down_is_503_and_the_caller_may_try_again(world):
    world.upstream.close()
    caller = await world.caller()
    for _ in range(2):
        await caller.send(GET)
        name = world.lane.upstream.node.name
        same_error(await caller.error(503), f"upstream [{name}] cannot be reached")


@lane_test()
async def test_the_body_for_an_upstream_that_is_down_is_not_taken_for_a_request(world):
    world.upstream.close()
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 1000\r\n\r\nabc")
    await caller.error(503)
    await caller.send(GET)
    assert await caller.rest() == b""


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
            lane = Lane(
                upstream=Nodes(url), application=None, limits=LimitsConfig(), connect_timeout=0.2
            )
            caller = Peer(*await asyncio.open_connection(*await lane.listen("127.0.0.1", 0)))
            await caller.send(GET)
            same_error(
                await caller.error(504), f"upstream [{url}] did not accept a connection in time"
            )
            await caller.close()
            await lane.drain(1)

    asyncio.run(scenario())


@pytest.mark.parametrize("started", [b"", b"HTTP/1.1 200 OK\r\nconte"])
@lane_test()
async def test_an_upstream_that_closes_before_its_answer_is_502(world, started):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(started)
    await peer.close()
    name = world.lane.upstream.node.name
    same_error(
        await caller.error(502), f"upstream [{name}] closed the connection without an answer"
    )
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


BROKEN = {
    "sized": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


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


# --- stale connections


@lane_test()
async def test_a_connection_that_closed_while_idle_is_not_used(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    await peer.close()
    await world.wait(lambda: not world.lane.upstream._idle)
    await world.exchange(caller, b"POST /x HTTP/1.1\r\nHost: es\r\n\r\n")


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
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.close()
    await caller.error(502)
    assert world.connections == 1


@lane_test(patience=Patience(idle=0.1))
async def test_connections_do_not_stay_idle_for_ever(world):
    peer = await world.exchange(await world.caller())
    assert await peer.rest() == b""


# --- when the caller fails


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


@pytest.mark.parametrize("status", [b"400 Bad Request", b"413 Too Large", b"431 Too Large"])
@lane_test()
async def test_a_connection_on_which_the_upstream_may_have_given_up_is_not_used_again(
    world, status
):
    """Elasticsearch keeps it open, and drops whatever comes on it."""
    caller = await world.caller()
    answer = b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\nno" % status
    for _ in range(3):
        peer = await world.exchange(caller, answer=answer)
        await peer.lost()


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


@lane_test(patience=Patience(half_closed=0.3))
async def test_a_half_closed_caller_gets_its_answers_as_long_as_they_flow(world):
    caller = await world.caller()
    await caller.send(GET + GET)
    caller.end()
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    for _ in range(5):  # longer than the patience, all in all
        await asyncio.sleep(0.1)
        await peer.send(b"x")
    assert await peer.head() == GET
    await peer.send(OK)
    assert await caller.rest() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nxxxxx" + OK


@lane_test()
async def test_a_caller_that_leaves_before_there_is_a_connection_leaves_nothing_behind(world):
    for _ in range(20):
        caller = await world.caller()
        await caller.send(GET)
        caller.reset()
    await world.wait(lambda: not world.lane.callers)
    await world.wait(lambda: not world.lane.upstream.sides)


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


@lane_test()
async def test_what_follows_a_last_request_does_not_cost_its_answer(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.0\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    await caller.send(b"\r\n")
    assert (await caller.rest()).endswith(b"\r\n\r\nok")


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


@lane_test(patience=Patience(linger=0.2))
async def test_a_caller_that_goes_on_after_its_refusal_is_cut(world):
    caller = await world.caller()
    await caller.send(b"GET / HTTP/2.0\r\nHost: es\r\n\r\n")
    await caller.error(505)
    with pytest.raises(ConnectionError):
        await send_for_ever(caller, 1000)


# --- back-pressure


async def send_for_ever(peer: Peer, size: int) -> None:
    while True:
        await peer.send(b"x" * size)
        await asyncio.sleep(0.001)


def noise(size: int) -> bytes:
    block = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1024))
    return (block * (size // len(block) + 1))[:size]


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


def test_without_an_application_everything_goes_upstream():
    async def scenario():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        lane = Lane(upstream=Nodes(url), application=None, limits=LimitsConfig(), connect_timeout=1)
        caller = Peer(*await asyncio.open_connection(*await lane.listen("127.0.0.1", 0)))
        await caller.send(b"GET /_inference HTTP/1.1\r\nHost: es\r\n\r\n")
        assert await caller.read(len(OK)) == OK
        await caller.close()
        await lane.drain(1)
        server.close()

    asyncio.run(scenario())


# --- listening and draining


@lane_test()
async def test_draining_finishes_what_is_under_way(world):
    idle, busy = await world.caller(), await world.caller()
    await world.exchange(idle)
    await busy.send(GET)
    peer = world.peers[-1]
    assert await peer.head() == GET
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(world.lane.drain(10))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await world.caller()
        assert not draining.done()
        await peer.send(OK)
        assert await busy.rest() == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert await peer.rest() == b""


@lane_test()
async def test_draining_cuts_what_does_not_end(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(BROKEN["sized"])
    await caller.head()
    await world.lane.drain(0.1)
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    await peer.lost()


@lane_test()
async def test_an_address_in_use_is_an_oserror(world):
    with pytest.raises(OSError, match="in use"):
        await world.lane.listen(*world.address)


@lane_test()
async def test_two_may_share_a_port(world):
    one = Lane(
        upstream=Nodes("http://127.0.0.1:1"),
        application=None,
        limits=LimitsConfig(),
        connect_timeout=1,
    )
    host, port = await one.listen("127.0.0.1", 0, reuse_port=True)
    two = Lane(
        upstream=Nodes("http://127.0.0.1:1"),
        application=None,
        limits=LimitsConfig(),
        connect_timeout=1,
    )
    assert await two.listen(host, port, reuse_port=True) == (host, port)
    await one.drain(1)
    await two.drain(1)


@lane_test(patience=Patience(half_closed=0.1, linger=0.1))
async def test_no_secret_is_logged_or_answered(world, caplog):
    caplog.set_level(logging.DEBUG)
    secret = b"Authorization: Basic c2VjcmV0\r\nX-Token: c2VjcmV0\r\n"
    answers = b""
    for raw, _ in REFUSED.values():
        caller = await world.caller()
        await caller.send(raw[:-2] + secret + b"\r\n")
        caller.end()
        answers += await caller.rest()
    world.upstream.close()
    caller = await world.caller()
    await caller.send(b"GET /c2VjcmV0 HTTP/1.1\r\nHost: es\r\n" + secret + b"\r\n")
    await caller.error(503)
    assert "cannot connect to upstream" in caplog.text
    assert b"c2VjcmV0" not in answers
    assert "c2VjcmV0" not in caplog.text


# --- TLS


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
            lane = Lane(
                upstream=Nodes(url),
                application=None,
                limits=LimitsConfig(),
                connect_timeout=5,
                ssl=context,
            )
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
