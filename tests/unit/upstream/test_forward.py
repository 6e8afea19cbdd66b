"""The application's own way upstream, between raw sockets and in aiohttp's hands."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.config import UpstreamConfig
from proxy.ground.largeanswers import AnswerTooLarge
from proxy.http1.bodies import UnchunkedBody
from proxy.upstream.forward import Forwarder, forwarding
from proxy.upstream.nodes import Nodes
from proxy.upstream.passingback import UpstreamAnswer
from proxy.upstream.session import open_session
from tests.support.forwarding import error_of
from tests.support.lanes import make_lane
from tests.support.peers import GET, MIB, OK, Peer, same_error
from tests.support.stubs import FaultyServer, Reply, json_reply
from tests.support.upstreams import open_forwarder

EIGHT = "application/vnd.elasticsearch+json;compatible-with=8"
YAML = "application/vnd.elasticsearch+yaml;compatible-with=8"

# What passes

TARGETS = [
    *("/a%2Fb", "/a%2fb", "/a%252Fb", "/a+b", "/a%20b", "/a%FF", "/a%", "/a%zz", "/a%00", "/%0a"),
    *("/%5fcluster/health", "//_cluster/health", "/_cluster//health", "/./_cluster", "/x/../y"),
    *("/%2e%2e/_inference/y", "/_CLUSTER", "/_cluster;a=b/health", "/\\_cluster", "/..", "/."),
    *("/%5Finference/x", "/./_inference/x", "/x/../_inference/y", "//_inference/x", "/a//"),
    *("/x?a=1&a=2", "/x?", "/x?a=b?c", "/x?a=%2F+%20", "/x?q=[a]{b}", "/x?%zz", "/x?a=/../b"),
    *("/*", "/a,b", "/<a-{now/d}>", "/%3Ca-%7Bnow%2Fd%7D%3E", "/a:b", "/a@b", "/a|b", "/a^b", "/`"),
    *("/'\"", "/$!~*()", "/a=b", "/a%C3%A9", "/x?é=1".encode().decode("latin-1")[:3] + "q", "/"),
]


@pytest.mark.parametrize("target", TARGETS)
async def test_targets_arrive_byte_for_byte(world, target):
    caller = await world.caller()
    await caller.send(b"GET " + target.encode() + b" HTTP/1.1\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    line = (await peer.head()).split(b"\r\n")[0]
    assert line == b"GET " + target.encode() + b" HTTP/1.1"


async def test_headers_arrive_as_they_were_sent(world):
    caller = await world.caller()
    await caller.send(
        b"POST /x HTTP/1.1\r\nX-First: 1\r\nhost: Some.Host\r\nConnection: close, es-security-x\r\n"
        b"TE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nKeep-Alive: 5\r\n"
        b"es-security-x: kept\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Twice: 3\r\nX-Text: \xc3\xa9\r\n"
        b"X-Embedding-Cache: no-cache\r\nContent-Length: 0\r\n\r\n"
    )
    peer = await world.accept()
    lines = (await peer.head()).split(b"\r\n")
    assert sorted(lines[1:-2]) == sorted(
        [
            b"X-First: 1",
            b"host: Some.Host",
            b"es-security-x: kept",
            b"X-Twice: 1",
            b"X-Twice: 2",
            b"X-Twice: 3",
            b"X-Text: \xc3\xa9",
            b"Content-Length: 0",
        ]
    )


async def test_an_answer_comes_back_as_it_was_sent(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    answer = (
        b"HTTP/1.1 404 Gone Fishing\r\nX-elastic-product: Elasticsearch\r\n"
        + b"Warning: 299 x\r\n" * 300
        + b"warning: y\r\nX-Long: "
        + b"x" * 12_000
        + b"\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x00"
    )
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"])
async def test_bodies_arrive_untouched(world, method):
    body = gzip.compress(b"{}")
    caller = await world.caller()
    head = b" /x HTTP/1.1\r\nHost: es\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    await caller.send(method.encode() + head % len(body) + body)
    peer = await world.accept()
    assert b"\r\nContent-Length: %d\r\n" % len(body) in await peer.head()
    assert await peer.read(len(body)) == body
    await peer.send(OK)
    assert await caller.read(len(OK)) == OK


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 340\r\n\r\n"),
        (b"PUT", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body(world, method, answer):
    caller = await world.caller()
    await caller.send(method + b" /x HTTP/1.1\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer
    await caller.send(GET)
    await peer.head()


async def test_an_endless_answer_ends_with_its_connection(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.0\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc")
    await peer.close()
    assert (await caller.rest()).endswith(b"\r\n\r\nabc")


# What fails


async def test_an_upstream_that_is_down_is_503(world):
    async with open_forwarder(UpstreamConfig(url="http://127.0.0.1:1")) as world.forwarder:
        caller = await world.caller()
        await caller.send(GET)
        reason = "upstream node cannot be reached"
        same_error(await error_of(caller, 503), reason)


async def test_an_upstream_that_does_not_accept_is_504(world):
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):  # until its queue is full
            extra = stack.enter_context(socket.socket())
            extra.setblocking(False)
            extra.connect_ex(silent.getsockname())
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        upstream = UpstreamConfig(url=url, connect_timeout=0.2)
        async with open_forwarder(upstream) as world.forwarder:
            caller = await world.caller()
            await caller.send(GET)
            reason = "upstream node did not accept a connection in time"
            same_error(await error_of(caller, 504), reason)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nbroken\r\n"])
async def test_an_upstream_that_does_not_answer_properly_is_502(world, answer, caplog):
    caplog.set_level(logging.DEBUG)
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nAuthorization: Basic c2VjcmV0\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(answer)
    await peer.close()
    await (await world.accept()).close()  # which was made to see whether it speaks TLS
    reason = "upstream node did not answer properly"
    same_error(await error_of(caller, 502), reason)
    assert "c2VjcmV0" not in caplog.text


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("status", [b"400 Bad Request", b"413 Too Large", b"431 Too Large"])
async def test_a_connection_that_was_given_up_is_not_used_again(world, status, pieces):
    """Elasticsearch silently drops all that follows a head which it could not read."""
    answer = b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nno"
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(answer[:-pieces])
    assert await caller.read(len(answer) - pieces) == answer[:-pieces]
    await peer.send(answer[-pieces:])
    assert await caller.read(pieces) == answer[-pieces:]
    assert await peer.rest() == b""
    await caller.send(GET)
    await (await world.accept()).head()


BROKEN = {
    "sized": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("name", BROKEN)
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


async def test_a_caller_that_hangs_up_ends_the_request(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await caller.close()
    await peer.lost()


async def test_a_forwarder_needs_an_upstream():
    with pytest.raises(ValueError, match="no upstream"):
        async with open_forwarder(UpstreamConfig()):
            pass


# Fetching


async def test_fetching_asks_as_the_caller(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nX-Mode: fetch\r\nAuthorization: Basic x\r\n"
        b"Accept: application/yaml\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\n"
        b"If-None-Match: y\r\nRange: bytes=0-1\r\nX-Opaque-Id: z\r\nContent-Length: 2\r\n\r\n{}"
    )
    peer = await world.accept()
    lines = (await peer.head()).split(b"\r\n")
    assert lines[0] == b"GET /_inference/_all?x=%2F HTTP/1.1"
    assert sorted(lines[1:-2]) == sorted(
        [b"Host: es", b"X-Mode: fetch", b"Authorization: Basic x", b"X-Opaque-Id: z"]
    )
    await peer.send(b"HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 2\r\n\r\n[]")
    await caller.head()
    status, headers, body = world.fetched
    assert (status, headers["x-a"], body) == (200, "1", b"[]")


async def test_fetching_keeps_an_accept_header_for_json(world):
    accept = b"Accept: application/vnd.elasticsearch+json; compatible-with=8"
    caller = await world.caller()
    await caller.send(
        b"GET /_inference HTTP/1.1\r\nHost: es\r\nX-Mode: fetch\r\n" + accept + b"\r\n\r\n"
    )
    peer = await world.accept()
    assert accept in (await peer.head()).split(b"\r\n")


async def test_what_is_fetched_is_bounded(world):
    request = b"GET /_inference HTTP/1.1\r\nHost: es\r\nX-Mode: fetch\r\n\r\n"
    caller = await world.caller()
    await caller.send(request)
    peer = await world.accept()
    await peer.head()
    piece = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with pytest.raises(ConnectionError):
        await peer.send(piece * (4 * UpstreamConfig().answer_size // MIB))
    expected = AnswerTooLarge(UpstreamConfig().answer_size)
    error = await error_of(caller, expected.status)
    assert (error["type"], error["reason"]) == (expected.type, expected.reason)


class Shouting:
    """A change of answers: capital letters."""

    def whole(self, body: bytes, coding: str | None) -> bytes | None:
        return self.feed(body)

    def pieces(self, coding: str | None) -> Shouting:
        assert coding is None
        return self

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("asks", [True, False])
async def test_an_answer_that_is_too_large_to_be_read_may_pass(size, asks, aiohttp_client):
    body = b"x" * size

    async def handle(request: web.Request) -> web.StreamResponse:
        found: web.StreamResponse | UpstreamAnswer
        if asks:
            found = await forwarder.ask_unless_large(request, "GET", "/y", b"", Shouting())
        else:
            found = await forwarder.hand_on_unless(request, None, lambda *told: told[0], Shouting())
        return found if isinstance(found, web.StreamResponse) else web.Response(body=found.body)

    async with FaultyServer([Reply(body=body)]) as server:
        config = UpstreamConfig(url=server.url, answer_size=MIB)
        async with open_session(config, Nodes(*config.urls)) as session:
            forwarder = Forwarder(session, forwarding(config))
            app = web.Application()
            app.router.add_get("/x", handle)
            caller = await aiohttp_client(app, auto_decompress=False)
            answer = await caller.get("/x", headers={"Accept-Encoding": "identity"})
            expected = body if size < MIB else b"X" * size + b"!"
            assert await answer.read() == expected


@asynccontextmanager
async def forwarding_to(server: FaultyServer, **more: Any) -> AsyncIterator[Forwarder]:
    config = UpstreamConfig(url=server.url, **more)
    async with open_session(config, Nodes(*config.urls)) as session:
        yield Forwarder(session, forwarding(config))


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_body_is_handed_on_in_pieces(is_whole: bool):
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"

    headers = {"Content-Type": "application/x-ndjson", "Content-Length": "9", "Authorization": "x"}
    request = make_mocked_request("POST", "/a/_bulk?refresh", headers=headers)
    reply = json_reply({"took": 1})
    async with FaultyServer([reply]) as server, forwarding_to(server) as forwarder:
        answer = await forwarder.hand_on_pieces(request, pieces(), lambda: is_whole)
    if is_whole:
        assert isinstance(answer, web.StreamResponse)
    else:
        assert isinstance(answer, UpstreamAnswer)
        assert (answer.status, answer.body) == (200, b'{"took":1}')
    (call,) = server.calls
    assert (call.method, call.target, call.body) == ("POST", "/a/_bulk?refresh", b"one\ntwo\n")
    assert call.headers["Authorization"] == "x"


async def test_what_was_handed_on_in_pieces_may_have_too_large_an_answer():
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one\n"

    request = make_mocked_request("POST", "/a/_bulk", headers={"Content-Type": "application/json"})
    reply = json_reply(["x" * 96])
    async with (
        FaultyServer([reply]) as server,
        forwarding_to(server, answer_size=99) as forwarder,
    ):
        with pytest.raises(AnswerTooLarge):
            await forwarder.hand_on_pieces(request, pieces(), lambda: False)


@pytest.mark.parametrize(
    ("given", "accepted", "sent"),
    [
        ({}, None, "application/json"),
        ({"Accept": EIGHT}, EIGHT, EIGHT),
        ({"Accept": EIGHT, "Content-Type": "application/json"}, EIGHT, EIGHT),
        ({"Content-Type": EIGHT}, None, "application/json"),  # of no body
        ({"Content-Type": EIGHT, "Content-Length": "2"}, None, EIGHT),
        ({"Accept": EIGHT, "Content-Type": YAML, "Content-Length": "2"}, EIGHT, EIGHT),
        ({"Accept": YAML, "Content-Type": EIGHT, "Content-Length": "2"}, EIGHT, EIGHT),
        ({"Accept": f"{EIGHT},text/plain"}, f"{EIGHT},text/plain", "application/json"),
        ({"Accept": "application/yaml"}, None, "application/json"),
    ],
)
async def test_json_that_is_sent_in_place_of_a_body_has_the_version_that_is_asked_for(
    given, accepted, sent
):
    request = make_mocked_request("GET", "/x", headers=given)
    async with FaultyServer([json_reply({})]) as server, forwarding_to(server) as forwarder:
        await forwarder.ask_unless_large(request, "GET", "/x", b"{}", None)
    (call,) = server.calls
    assert call.headers.get("Accept") == accepted
    assert call.headers["Content-Type"] == sent


# The lane forwards in the same way

SAME = [
    GET,
    b"HEAD /x HTTP/1.1\r\nHost: es\r\n\r\n",
    b"POST /a%2Fb?x=+%zz HTTP/1.1\r\nHost: es\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n\r\nbody",
    b"PUT /x HTTP/1.1\r\nHost: es\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    b"DELETE /x HTTP/1.1\r\nHost: es\r\nContent-Length: 0\r\nes-security-runas-user: a\r\n\r\n",
]
SAME_ANSWERS = [
    OK,
    b"HTTP/1.1 404 Nope\r\nX-elastic-product: Elasticsearch\r\nA: 1\r\na: 2\r\n"
    b"content-length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nServer: x\r\ncontent-length: 0\r\n\r\n",
]


@pytest.mark.parametrize("request_", SAME)
@pytest.mark.parametrize("answer", SAME_ANSWERS)
async def test_the_lane_and_the_application_forward_alike(world, request_, answer):
    if request_.startswith(b"HEAD"):
        answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    lane = make_lane(world.upstream)
    seen = []
    for address in (await lane.listen("127.0.0.1", 0), world.address):
        caller = Peer(*await asyncio.open_connection(*address))
        world.peers.append(caller)
        await caller.send(request_)
        peer = await world.accept()
        head = (await peer.head()).split(b"\r\n")
        body = await peer.read(4) if b"body" in request_ else b""
        await peer.send(answer)
        seen.append((head[0], sorted(head[1:]), body, await caller.read(len(answer))))
        caller.reset()
    assert seen[0] == seen[1]
    assert seen[0][3] == answer
    await lane.drain(1)


async def test_answers_in_small_chunks_hold_up_nobody(world):
    """One goes on in each turn of the loop, so that of many together as little is read."""
    count = 50_000
    callers = [await world.caller(limit=4 * MIB) for _ in range(4)]
    peers = []
    for caller in callers:
        await caller.send(GET)
        peers.append(await world.accept())
        await peers[-1].head()
    other = await world.caller()
    exchanges = 0

    async def receive(caller: Peer, peer: Peer) -> None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head + b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        await caller.head()
        payload, _ = UnchunkedBody().feed(await caller.reader.readuntil(b"\r\n0\r\n\r\n"))
        assert payload == b"x" * count

    async with asyncio.TaskGroup() as tasks:
        receiving = [tasks.create_task(receive(*pair)) for pair in zip(callers, peers, strict=True)]
        while not all(task.done() for task in receiving):
            await other.send(GET)
            server = peers[-1] if exchanges else await world.accept()
            peers.append(server)
            await server.head()
            await server.send(OK)
            await other.read(len(OK))
            exchanges += 1
    assert exchanges > 30
