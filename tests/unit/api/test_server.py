"""What cannot be read as HTTP, sent to the application alone."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

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

    @web.middleware
    async def nothing(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)

    app = web.Application(middlewares=[nothing])
    app.router.add_route("GET", "/", handle)
    runner = Runner(app)
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    server.close()
    await runner.cleanup()
    gc.collect()
    assert len(faults) == (0 if has_left else 1)
