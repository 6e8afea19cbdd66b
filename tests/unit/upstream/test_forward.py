"""The application's own way upstream, between raw sockets and in aiohttp's hands."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import orjson
import pytest
from aiohttp import web
from yarl import URL

from proxy.config import LimitsConfig, UpstreamConfig
from proxy.errors import NoInferenceFeature, ProxyError, UpstreamBroken
from proxy.lane import Lane
from proxy.upstream.forward import (
    FETCH_LIMIT,
    Forwarder,
    expect_continue,
    head_of,
    lacks_inference,
    strip_additions,
)
from proxy.upstream.nodes import Nodes
from tests.unit.http1.test_requests import REFUSED
from tests.unit.lane.test_lane import GET, OK, Peer, noise

MIB = 1024 * 1024


class World:
    """An application that hands on, between callers and an upstream, both played by the test."""

    def __init__(self, upstream: URL) -> None:
        self.upstream = upstream
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.connections = 0
        self.peers: list[Peer] = []
        self.config = UpstreamConfig(url=str(upstream), connect_timeout=0.5)
        self.forwarder = Forwarder(self.config, body_timeout=0.3)
        self.address = ("", 0)
        self.fetched: object = None

    async def caller(self, **options) -> Peer:
        peer = Peer(*await asyncio.open_connection(*self.address, **options))
        self.peers.append(peer)
        return peer

    async def accept(self) -> Peer:
        return await self.accepted.get()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        mode = request.headers.get("X-Mode")
        if mode == "own":
            return web.json_response({"own": True})
        if mode == "read":  # a handler that found out later that it is not its request
            self.fetched = await request.read()
        if mode == "fetch":
            self.fetched = await self.forwarder.fetch(request, "/_inference/_all?x=%2F")
            return web.json_response({})
        if mode is not None:
            return await self.forwarder.hand_on_inference(request)
        return await self.forwarder.hand_on(request)


@web.middleware
async def render_errors(request, handler):
    try:
        head_of(request)  # before routing counts: CONNECT has no path that a route could match
        return await handler(request)
    except ProxyError as error:
        response = web.json_response(error.envelope(), status=error.status)
        response.force_close()
        return response
    except NoInferenceFeature:
        return web.json_response({"feature": False}, status=299)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        found.peers.append(peer)
        found.connections += 1
        await found.accepted.put(peer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4 * MIB)
    found = World(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    app = web.Application(
        middlewares=[render_errors],
        client_max_size=64 * MIB,
        handler_args={
            "auto_decompress": False,
            "handler_cancellation": True,
            "max_line_size": 65536,
            "max_field_size": 65536,
            "max_headers": 1000,
        },
    )
    app.router.add_route("*", r"/{tail:[\s\S]*}", found.handle, expect_handler=expect_continue)
    app.on_response_prepare.append(strip_additions)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await found.forwarder.open()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.address = runner.addresses[0][:2]
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        for peer in found.peers:
            peer.reset()
        await found.forwarder.close()
        await runner.cleanup()
        server.close()


# --- what passes

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
    # yarl drops an empty query, which Elasticsearch does not tell from none.
    expected = target.encode().removesuffix(b"?") if target == "/x?" else target.encode()
    assert line == b"GET " + expected + b" HTTP/1.1"


async def test_headers_arrive_as_they_were_sent(world):
    caller = await world.caller()
    await caller.send(
        b"POST /x HTTP/1.1\r\nX-First: 1\r\nhost: Some.Host\r\nConnection: close, es-security-x\r\n"
        b"TE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nKeep-Alive: 5\r\n"
        b"es-security-x: kept\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Twice: 3\r\nX-Text: \xc3\xa9\r\n"
        b"Content-Length: 0\r\n\r\n"
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


@pytest.mark.parametrize("kind", ["server: es", "date: now", "content-type: text/plain"])
async def test_only_what_aiohttp_adds_is_taken_back(world, kind):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    answer = OK.replace(b"content-length", kind.encode() + b"\r\ncontent-length")
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer


async def test_our_own_answers_name_no_server(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.1\r\nHost: es\r\nX-Mode: own\r\n\r\n")
    assert sorted((await caller.head()).split(b"\r\n")[1:-2]) == [
        b"Content-Length: 13",
        b"Content-Type: application/json; charset=utf-8",
    ]


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


async def test_an_endless_answer_ends_with_its_connection(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.0\r\nHost: es\r\n\r\n")
    peer = await world.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc")
    await peer.close()
    assert (await caller.rest()).endswith(b"\r\n\r\nabc")


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


async def test_requests_that_may_be_ours_are_told_to_continue(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
        b"X-Mode: inference\r\n\r\n"
    )
    assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await caller.send(b"body")
    peer = await world.accept()
    assert b"Expect" not in await peer.head()
    assert await peer.read(4) == b"body"


async def test_an_answer_may_come_while_the_body_is_sent(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 1000000\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    await peer.send(OK)
    assert (await caller.head()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await caller.read(2) == b"ok"
    await peer.lost()


# --- what fails


@pytest.mark.parametrize(
    "name",
    [
        *("two Authorizations", "two spellings", "two X-Opaque-Ids", "fragment", "CONNECT"),
        *("absolute form", "asterisk form", "HTTP/2.0", "HTTP/0.9", "gzip, chunked", "not UTF-8"),
        *("unknown expectation", "coding and length", "two lengths", "no Host", "bare line feeds"),
    ],
)
async def test_what_the_lane_refuses_is_refused_here(world, name, caplog):
    caplog.set_level(logging.CRITICAL)
    raw, _ = REFUSED[name]
    caller = await world.caller()
    await caller.send(raw + b"0\r\n\r\n")
    assert (await caller.head()).split()[1] in (b"400", b"405", b"417", b"501", b"505")
    await caller.lost()
    assert world.connections == 0


def same_error(error, reason):
    cause = {"type": "status_exception", "reason": reason}
    assert error == {"root_cause": [cause], **cause}


async def error_of(caller: Peer, status: int):
    answer = await caller.rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status
    return orjson.loads(body)["error"]


async def test_an_upstream_that_is_down_is_503(world):
    await world.forwarder.close()
    world.forwarder = Forwarder(UpstreamConfig(url="http://127.0.0.1:1"))
    await world.forwarder.open()
    caller = await world.caller()
    await caller.send(GET)
    reason = "upstream [http://127.0.0.1:1] cannot be reached"
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
        await world.forwarder.close()
        world.forwarder = Forwarder(UpstreamConfig(url=url, connect_timeout=0.2))
        await world.forwarder.open()
        caller = await world.caller()
        await caller.send(GET)
        reason = f"upstream [{url}] did not accept a connection in time"
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
    reason = f"upstream [{world.upstream.origin()}] did not answer properly"
    same_error(await error_of(caller, 502), reason)
    assert "c2VjcmV0" not in caplog.text


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


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("status", [b"400 Bad Request", b"413 Too Large", b"431 Too Large"])
async def test_a_connection_that_was_given_up_is_not_used_again(world, status, pieces):
    """Elasticsearch drops all that comes behind a head it could not read, and says no word."""
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


async def test_a_body_that_stalls_ends_the_request(world):
    caller = await world.caller()
    await caller.send(b"POST /x HTTP/1.1\r\nHost: es\r\nContent-Length: 10\r\n\r\nabc")
    peer = await world.accept()
    await peer.head()
    same_error(await error_of(caller, 408), "the request's body did not come in time")
    await peer.lost()


async def test_a_forwarder_needs_an_upstream():
    with pytest.raises(ValueError, match="no upstream"):
        Forwarder(UpstreamConfig())


# --- requests that proved not to be ours

INVALID_NAME = {
    "type": "invalid_index_name_exception",
    "reason": "Invalid index name [_inference], must not start with '_'.",
    "index_uuid": "_na_",
    "index": "_inference",
}
NOT_FOUND = {
    "type": "index_not_found_exception",
    "reason": "no such index [_inference]",
    "resource.type": "index_expression",
    "resource.id": "_inference",
    "index_uuid": "_na_",
    "index": "_inference",
}
# Answers of Elasticsearch 9.2.4, 8.19.8 and 7.17.9 without the inference plugin.
LACKING = [
    b'{"error":"no handler found for uri [/_inference/x] and method [GET]"}',
    b'{"error":"Incorrect HTTP method for uri [/_inference/x] and method [GET], allowed: [POST]",'
    b'"status":405}',
    orjson.dumps({"error": {"root_cause": [INVALID_NAME], **INVALID_NAME}, "status": 400}),
    orjson.dumps({"error": {"root_cause": [NOT_FOUND], **NOT_FOUND}, "status": 404}),
    b'---\nerror: "no handler found for uri [/_inference/x] and method [GET]"\n',
]
RESOURCE = {"type": "resource_not_found_exception", "reason": "Inference endpoint not found [x]"}
HAVING = [
    orjson.dumps({"error": {"root_cause": [RESOURCE], **RESOURCE}, "status": 404}),
    orjson.dumps({"error": {**NOT_FOUND, "index": "other"}, "status": 404}),
    b'{"error":"Content-Type header [] is not supported","status":406}',
    b'["no handler found for uri [/_inference/x]"]',
    b"not JSON",
    b"",
]


@pytest.mark.parametrize("body", LACKING)
def test_what_tells_that_there_is_no_inference_feature(body):
    assert lacks_inference(body, None)
    assert lacks_inference(gzip.compress(body), "gzip")


@pytest.mark.parametrize("body", HAVING)
def test_what_does_not_tell_it(body):
    assert not lacks_inference(body, None)
    assert not lacks_inference(body, "gzip")


def inference_request(mode: bytes, body: bytes) -> bytes:
    head = b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nX-Mode: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (mode, len(body)) + body


async def answered(world: World, request: bytes, status: bytes, body: bytes) -> bytes:
    caller = await world.caller()
    await caller.send(request)
    peer = await world.accept()
    await peer.head()
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\nConnection: close\r\n\r\n"
    await peer.send(head % (status, len(body)) + body)
    await peer.close()
    head = await caller.head()
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head.split(b" ", 2)[1] + b" " + await caller.read(length)


async def test_the_handler_learns_that_the_upstream_has_no_inference_feature(world):
    request = inference_request(b"inference", b"{}")
    for body in LACKING:
        assert (await answered(world, request, b"400 Bad Request", body)).startswith(b"299 ")
    # The same words in an answer of another status mean nothing.
    answer = await answered(world, request, b"200 OK", LACKING[0])
    assert answer == b"200 " + LACKING[0]


async def test_other_answers_are_passed_on_whole(world):
    request = inference_request(b"inference", b"{}")
    for body in (*HAVING, b"x" * 300_000):
        answer = await answered(world, request, b"404 Not Found", body)
        assert answer == b"404 " + body


@pytest.mark.parametrize("size", [0, 2, 3 * MIB])
async def test_a_body_that_was_read_is_sent_all_the_same(world, size):
    body = noise(size)
    caller = await world.caller()
    await caller.send(inference_request(b"read", body))
    peer = await world.accept()
    assert b"\r\nContent-Length: %d\r\n" % size in await peer.head()
    assert await peer.read(size) == body
    assert world.fetched == body


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
        await peer.send(piece * (4 * FETCH_LIMIT // MIB))
    same_error(
        await error_of(caller, UpstreamBroken.status),
        f"upstream [{world.upstream.origin()}] answered with too many bytes",
    )


# --- both ways are one

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
    lane = Lane(
        upstream=Nodes(world.upstream), application=None, limits=LimitsConfig(), connect_timeout=1
    )
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
