"""What cannot be read as HTTP, sent to the application alone."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.api.keys import OF_HEAD
from proxy.api.server import Runner
from proxy.app import make_application
from proxy.config import Config, LimitsConfig, StoreConfig
from proxy.lane import pipes

SECRET: Final = b"caller-secret"
HEAD: Final = b"GET /_inference/x HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def server(tmp_path):
    """The application's server, which makes protocols."""
    store = StoreConfig(kind=f"sqlite:{tmp_path}/endpoints.db", encryption_key="11" * 32)
    config = Config(store=store, limits=LimitsConfig(head=4096))
    runner = Runner(make_application(config))
    await runner.setup()
    yield runner.server
    await runner.cleanup()


@pytest.fixture
async def connect(server):
    """Makes connections to the application alone."""
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    yield lambda: asyncio.open_connection(*listening.sockets[0].getsockname())
    listening.close()


@pytest.fixture
def send(connect):
    """Sends bytes to a new connection, and returns all that comes back until it is closed."""

    async def send(data: bytes) -> bytes:
        reader, writer = await connect()
        writer.write(data)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return bytes(answer)

    return send


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"F(O /_inference/caller-secret HTTP/1.1\r\n\r\n", 400, "Invalid method encountered"),
        (b"caller-secret\r\n\r\n", 400, "Invalid method encountered"),
        (b"\x16\x03\x01\x02\x00caller-secret", 400, "Received HTTPS traffic on an HTTP port"),
        (b"GET /caller-secret HTTP/7.7\r\n\r\n", 400, "Bad status line"),
        (b"GET /a caller-secret HTTP/1.1\r\n\r\n", 400, "Bad status line"),
        (HEAD + b"A : caller-secret\r\n\r\n", 400, "Invalid header token"),
        (HEAD + b"Content-Length: caller-secret\r\n\r\n", 400, "Invalid character"),
        (b"GET http://caller-secret:x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Invalid target"),
        (b"GET / HTTP/1.1\r\nA: caller-secret\r\n\r\n", 400, "Missing 'Host' header"),
        (HEAD + b"A: caller-secret" + b"x" * 5000 + b"\r\n\r\n", 431, "head is too large"),
        (b"GET /caller-secret" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 431, "head is too large"),
    ],
)
async def test_is_refused_in_the_envelope_and_not_repeated(send, caplog, data, status, reason):
    caplog.set_level(logging.DEBUG, "proxy")
    answer = await send(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first.split()[:2] == ["HTTP/1.1", str(status)]
    assert headers == [
        "X-elastic-product: Elasticsearch",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "Connection: close",
    ]
    shown = json.loads(body)
    assert shown["status"] == status
    assert reason in shown["error"]["reason"]
    assert SECRET not in answer
    assert SECRET.decode() not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("method", ["FOO", "DESCRIBE", "GETX", "A-B_C"])
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("/_inference/x?pretty", "GET,POST,PUT,DELETE"),
        ("/_inference", "GET"),
        ("/_inference/x/_stream", "POST"),
        ("/_inference/a/b/c", None),
        ("/_cluster/health", None),
    ],
)
async def test_an_unheard_of_method_is_not_allowed(send, method, target, allowed):
    answer = await send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert (f"Allow: {allowed}" in head.decode().split("\r\n")) == (allowed is not None)
    assert (b"\r\nAllow" in head) == (allowed is not None)
    named = "" if allowed is None else f", allowed: [{allowed.replace(',', ', ')}]"
    assert json.loads(body) == {"error": f"Unexpected http method: {method}{named}", "status": 405}


async def test_a_head_of_many_lines_is_refused_before_its_end(connect):
    reader, writer = await connect()
    writer.write(HEAD + b"".join(b"A%d: %b\r\n" % (n, b"x" * 1000) for n in range(20)))
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 431


async def test_a_body_is_no_head(connect):
    reader, writer = await connect()
    body = b"x" * 20_000
    for _ in range(2):
        writer.write(HEAD + b"Content-Type: text/x\r\nContent-Length: 20000\r\n\r\n")
        for start in range(0, len(body), 1000):
            writer.write(body[start : start + 1000])
            await writer.drain()
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 406 ")
    writer.close()


async def test_a_connection_without_a_request_has_no_task(server):
    before = asyncio.all_tasks()
    pipes.connect(server, asyncio.Protocol)
    assert asyncio.all_tasks() == before


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[Any]:
    """The address of an application that does nothing else."""

    @web.middleware
    async def nothing(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)

    app = web.Application(middlewares=[nothing])
    app.router.add_route("*", "/", handle)
    runner = Runner(app, handler_cancellation=True)
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()
    await runner.cleanup()


@pytest.mark.parametrize("has_left", [True, False])
async def test_a_caller_that_leaves_amid_an_answer_is_no_error(has_left):
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if has_left:
            assert request.transport is not None
            request.transport.abort()
            await response.write(b"more")
        raise KeyError

    async with serving(handle) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
    gc.collect()
    assert len(faults) == (0 if has_left else 1)


async def test_a_request_whose_caller_leaves_is_forgotten_at_once():
    requests: list[weakref.ref[web.Request]] = []
    has_come, is_left = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(weakref.ref(request))
        has_come.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_left.set()
        return web.Response()

    async with serving(handle) as address:
        _, writer = await asyncio.open_connection(*address)
        gc.collect()
        gc.disable()  # what is in a circle stays
        try:
            writer.write(post("x" * 1000))
            async with asyncio.timeout(10):
                await has_come.wait()
                writer.close()
                await is_left.wait()
            await asyncio.sleep(0.01)
            assert requests[0]() is None
        finally:
            gc.enable()


async def tell(request: web.Request) -> web.StreamResponse:
    """Says what has come, and how many requests have shared their notes, with this one."""
    notes = request[OF_HEAD]
    notes["count"] = notes.get("count", 0) + 1
    return web.json_response(
        {
            "notes": notes["count"],
            "length": request.content_length,
            "raw": dict(request.raw_headers).get(b"Content-Length", b"").decode(),
            "a": request.headers.get("A"),
            "body": (await request.read()).decode(),
        }
    )


@pytest.fixture
async def ask():
    """Sends a request in these pieces, each on its own; what was got of it."""
    async with serving(tell) as address:
        reader, writer = await asyncio.open_connection(*address)

        async def ask(*pieces: bytes) -> Any:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.01)
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                return json.loads(await reader.readexactly(length))

        yield ask
        writer.close()


def post(body: str, a: str = "1") -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nA: {a}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def got(body: str, notes: int, a: str = "1") -> dict[str, Any]:
    length = len(body)
    return {"notes": notes, "length": length, "raw": str(length), "a": a, "body": body}


async def test_requests_with_one_head_share_notes_but_for_the_length_of_their_bodies(ask):
    for count, body in enumerate(["one", "two", "a longer one", "", "x", "x" * 1000]):
        assert await ask(post(body)) == got(body, count + 1)
    assert await ask(post("one", a="2")) == got("one", 1, a="2")
    assert await ask(post("one", a="2")) == got("one", 2, a="2")
    assert await ask(post("one", a="1")) == got("one", 1, a="1")


async def test_a_request_that_comes_in_pieces_is_read_as_ever(ask):
    whole = post("a body in pieces")
    assert await ask(whole) == got("a body in pieces", 1)
    for cut in (1, 20, len(whole) - 16, len(whole) - 1):
        assert (await ask(whole[:cut], whole[cut:]))["body"] == "a body in pieces"
    assert await ask(whole) == got("a body in pieces", 2)
    assert await ask(whole) == got("a body in pieces", 3)


async def test_two_requests_at_once_are_two(ask):
    assert await ask(post("one")) == got("one", 1)
    assert await ask(post("two") + post("three")) == got("two", 1)
    assert await ask() == got("three", 1)
    assert await ask(post("one")) == got("one", 2)


async def test_the_first_request_of_a_connection_may_be_like_one_of_another():
    async def told(address: Any, *requests: bytes) -> Any:
        reader, writer = await asyncio.open_connection(*address)
        found = []
        for request in requests:
            writer.write(request)
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                found.append(json.loads(await reader.readexactly(length)))
        writer.close()
        return found

    async with serving(tell) as address:
        assert await told(address, post("one")) == [got("one", 1)]
        assert await told(address, post("three"), post("x")) == [got("three", 2), got("x", 3)]
        other = post("other", a="2")
        assert await told(address, other, post("one")) == [got("other", 1, a="2"), got("one", 1)]
        both = await asyncio.gather(told(address, post("four")), told(address, post("sixteen")))
        assert sorted(notes["notes"] for (notes,) in both) == [2, 3]
        assert [notes["length"] for (notes,) in both] == [4, 7]


async def test_a_chunked_body_is_never_taken_for_known(ask):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(2):
        told = await ask(head + b"3\r\none\r\n0\r\n\r\n")
        assert (told["notes"], told["body"]) == (1, "one")


async def test_a_long_head_is_not_kept(ask):
    for _ in range(2):
        assert (await ask(post("one", a="x" * 5000)))["notes"] == 1


async def test_requests_without_bodies_are_known_too(ask):
    for count in (1, 2):
        told = await ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (told["notes"], told["length"], told["body"]) == (count, None, "")
    told = await ask(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert (told["notes"], told["body"]) == (1, "abc")


async def test_a_body_can_be_read_piece_by_piece_whether_its_head_is_known_or_not():
    async def handle(request: web.Request) -> web.StreamResponse:
        content = request.content
        assert (content.is_eof(), content.at_eof(), request.body_exists) == (True, False, True)
        pieces = [content.read_nowait(2), await content.read(1), await content.readchunk()]
        assert pieces == [b"ab", b"c", (b"def", False)]
        assert (content.at_eof(), request.can_read_body) == (True, False)
        assert [content.read_nowait(), await content.read(), await content.readany()] == [b""] * 3
        return web.json_response({})

    async with serving(handle) as address:
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(3):
            writer.write(post("abcdef"))
            async with asyncio.timeout(10):
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n{}")
        writer.close()
