"""What one caller may hold while others are served: memory, calls, time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from proxy.api.counting import METRICS
from proxy.app import make_parts
from proxy.config import Config, LimitsConfig, StoreConfig
from proxy.limits.threads import THREADS, offload
from tests.support.application import proxy_with
from tests.support.lanes import make_lane
from tests.support.stubs import FaultyServer, contract_reply, json_reply

EMBED: Final = "/_inference/text_embedding/e1"
MIB: Final = 1024 * 1024


def knows_all(call):
    """An upstream that knows everybody by their credentials, and allows what `no` must not do."""
    name = call.headers.get("Authorization", "nobody")
    actions = call.json["cluster"] if call.body else []
    return json_reply({"username": name, "cluster": dict.fromkeys(actions, name != "no")})


def head(*lines, method="POST", target=EMBED, user="yes"):
    lines = (f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: {user}", *lines)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def held(app):
    return app[METRICS].registry.get_sample_value("hfproxy_held_bytes")


async def until(holds):
    """Wait for something that no event tells of."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


JSON: Final = "Content-Type: application/json"
UNFINISHED: Final = {
    "sized": ([JSON, "Content-Length: 1000000"], b'{"input":"'),
    "sized, nothing sent": ([JSON, "Content-Length: 1000000"], b""),
    "chunked": ([JSON, "Transfer-Encoding: chunked"], b'a\r\n{"input":"\r\n'),
    "zipped": ([JSON, "Content-Encoding: gzip", "Content-Length: 1000000"], b"\x1f"),
}


@pytest.mark.parametrize("body", UNFINISHED)
async def test_who_will_be_refused_is_told_so_before_the_body_has_come(tmp_path, body):
    lines, sent = UNFINISHED[body]
    async with (
        FaultyServer(knows_all) as upstream,
        proxy_with(tmp_path, upstream=upstream.url) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        writer.write(head(*lines, user="no") + sent)
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        assert held(proxy.server.app) < 1000
        writer.close()


async def test_other_mistakes_come_first_for_them_too(tmp_path):
    async with (
        FaultyServer(knows_all) as upstream,
        proxy_with(tmp_path, upstream=upstream.url) as proxy,
    ):
        no = {"Authorization": "no"}
        assert (await proxy("POST", EMBED, {"input": "x"}, no)).status == 403
        assert (await proxy("POST", EMBED, None, no)).reason == "request body is required"
        assert (await proxy("POST", EMBED, b"x", {**no, "Content-Type": "x/y"})).status == 406
        assert (await proxy("POST", EMBED + "?x", {"input": "x"}, no)).status == 400
        answer = await proxy("GET", EMBED, {"input": "x"}, no)
        assert "does not support having a body" in answer.reason


async def test_one_caller_holds_a_share_of_the_memory(tmp_path):
    async with (
        FaultyServer(knows_all) as upstream,
        proxy_with(tmp_path, upstream=upstream.url, memory=32 * MIB) as proxy,
        AsyncExitStack() as stack,
    ):
        await proxy("PUT", EMBED, embedding(proxy))
        for n in range(1, 10):  # unfinished bodies of 1 MiB, three bytes reckoned for each
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
            stack.callback(writer.close)
            writer.write(head(JSON, f"Content-Length: {MIB + 1}", user="greedy") + b"x" * MIB)
            await until(lambda n=n: held(proxy.server.app) >= n * 3 * MIB)
        refused = await proxy("POST", EMBED, {"input": "x" * MIB}, {"Authorization": "greedy"})
        assert refused.status == 429
        assert "<http_requests of one caller>" in refused.reason
        other = await proxy("POST", EMBED, {"input": "x" * 10_000}, {"Authorization": "other"})
        assert other.status == 200


async def test_heads_count(tmp_path):
    async with (
        FaultyServer(knows_all) as upstream,
        proxy_with(tmp_path, upstream=upstream.url, memory=2 * MIB) as proxy,
    ):
        many = [f"A{n}: x" for n in range(3000)]
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        writer.write(head(JSON, "Content-Length: 9", *many))
        await until(lambda: held(proxy.server.app) > MIB)
        answer = await proxy("GET", EMBED, None, {f"A{n}": "x" for n in range(3000)})
        assert answer.status == 429
        assert (await proxy("GET", EMBED)).status == 200
        writer.close()


def embedding(proxy, name="e1"):
    settings = {"url": f"{proxy.provider.url}/embed", "api_key": "x"}
    return {"service": "hugging_face", "service_settings": settings}


async def test_the_callers_time_holds_while_its_body_waits_for_a_thread(tmp_path):
    free = threading.Event()
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy.put("completion", "e2")
        async with asyncio.TaskGroup() as group:
            busy = [group.create_task(offload(1, 0, free.wait)) for _ in range(THREADS)]
            try:
                for target in (EMBED, "/_inference/completion/e2/_stream"):
                    body = {"input": "x" * 100_000}
                    answer = await proxy("POST", f"{target}?timeout=50ms", body)
                    assert answer.status in (408, 429)
                    assert b"Request timed out after [50ms]" in answer.body
                assert not any(task.done() for task in busy)
            finally:
                free.set()
        assert proxy.provider.calls == []


@asynccontextmanager
async def listening(folder, *, lane):
    """An application that accepts connections itself, or behind a lane: it, and its port."""
    store = StoreConfig(kind=f"sqlite:{folder / 'endpoints.db'}", encryption_key="11" * 32)
    parts = make_parts(Config(store=store, limits=LimitsConfig()))
    await parts.runner.setup()
    assert parts.runner.server is not None
    loop = asyncio.get_running_loop()
    try:
        if lane:
            front = make_lane("http://127.0.0.1:1", application=parts.runner.server)
            _, port = await front.listen("127.0.0.1", 0)
            yield parts.runner.app, port
            await front.drain(0.1)
        else:
            server = await loop.create_server(parts.runner.server, "127.0.0.1", 0)
            yield parts.runner.app, server.sockets[0].getsockname()[1]
            server.close()
    finally:
        await parts.runner.cleanup()


async def answers_unread(port, request, times):
    """A connection that has sent requests, and reads nothing."""
    taker = socket.socket()
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    taker.connect(("127.0.0.1", port))
    _, writer = await asyncio.open_connection(sock=taker, limit=1024)
    writer.write(request * times)
    return writer


@pytest.mark.parametrize("lane", [False, True])
async def test_lists_that_nobody_reads_count_until_they_are_written(tmp_path, lane):
    async with FaultyServer(contract_reply) as provider, listening(tmp_path, lane=lane) as served:
        app, port = served
        url = f"{provider.url}/embed#{'x' * 60_000}"
        settings = {"url": url, "api_key": "x"}
        body = json.dumps({"service": "hugging_face", "service_settings": settings}).encode()
        for n in range(150):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            length = f"Content-Length: {len(body)}"
            writer.write(head(JSON, length, method="PUT", target=f"{EMBED}{n}") + body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        await until(lambda: held(app) == 0)
        request = head(method="GET", target="/_inference")
        callers = [await answers_unread(port, request, 1) for _ in range(3)]
        # four bytes for each of the texts, see `ListingMaker`
        await until(lambda: 3 * 36_000_000 < held(app) < 3 * 37_000_000)
        for writer in callers:
            writer.transport.abort()
        await until(lambda: held(app) == 0)


async def test_errors_that_nobody_reads_count_until_they_are_written(tmp_path):
    async with listening(tmp_path, lane=False) as (app, port):
        request = head(method="GET", target="/_inference/" + "x" * 900)
        writer = await answers_unread(port, request, 4000)
        await until(lambda: held(app) > 1000)  # what the socket does not take
        assert held(app) < 10_000
        writer.transport.abort()
        await until(lambda: held(app) == 0)
