"""Between caller and provider, events and hang-ups are passed on at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import pytest
from aiohttp import ClientSession, web

from testbed.processes import Server
from tests.support.processes import Serve

SOON: Final = 10.0  # seconds; without a hang-up, or the event before, it would take for ever


class SteeredProvider:
    """A chat provider that writes chunks when told to, and notices hang-ups."""

    def __init__(self) -> None:
        self.writes: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.called = asyncio.Event()
        self.left = asyncio.Event()
        self.silent = False  # never answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if body["messages"][0]["content"] == "how big":
            return web.Response(body=chunk("probed"), content_type="text/event-stream")
        self.called.set()
        try:
            if self.silent:
                await asyncio.Event().wait()
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            while (data := await self.writes.get()) is not None:
                await response.write(data)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return response

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}/v1/chat/completions"
        finally:
            await runner.cleanup()


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    value = {"id": "1", "model": "m", "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + orjson.dumps(value) + b"\n\n"


@pytest.fixture
async def provider_and_url() -> AsyncIterator[tuple[SteeredProvider, str]]:
    provider = SteeredProvider()
    async with provider.running() as url:
        yield provider, url


@pytest.fixture(params=["lane", "application"])
def proxy(
    request: pytest.FixtureRequest, serve: Serve, elasticsearch: Any, tmp_path: Any
) -> Server:
    flags = ["--store", f"sqlite:{tmp_path}/endpoints.db"]
    if request.param == "application":
        flags.append("--no-lane")
    return serve(*flags, upstream=elasticsearch.url)


async def create(session: ClientSession, proxy: Server, url: str) -> None:
    settings = {"api_key": "secret", "url": url}
    body = {"service": "hugging_face", "service_settings": settings}
    path = f"{proxy.url}/_inference/chat_completion/chat"
    async with session.put(path, json=body) as answer:
        assert answer.status == 200, await answer.text()


def ask(session: ClientSession, proxy: Server) -> Any:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    return session.post(f"{proxy.url}/_inference/chat_completion/chat/_stream", json=body)


async def read_event(answer: Any) -> dict[str, str]:
    lines = {}
    async with asyncio.timeout(SOON):
        while line := (await answer.content.readline()).decode().strip():
            name, _, value = line.partition(": ")
            lines[name] = value
    return lines


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
async def test_each_event_arrives_before_the_next_is_written(
    proxy: Server, provider_and_url: tuple[SteeredProvider, str], coding: str
) -> None:
    provider, url = provider_and_url
    async with ClientSession(headers={"Accept-Encoding": coding}) as session:
        await create(session, proxy, url)
        async with ask(session, proxy) as answer:
            assert answer.status == 200  # although nothing has been said yet
            assert answer.headers.get("Content-Encoding", "identity") == coding
            for word in ("one", "zwei", "三"):
                await provider.writes.put(chunk(word))
                event = await read_event(answer)
                choice = orjson.loads(event["data"])["choices"][0]
                assert choice["delta"] == {"content": word}
            await provider.writes.put(None)
            assert await read_event(answer) == {"event": "message", "data": "[DONE]"}


async def test_a_caller_who_leaves_a_stream_takes_the_provider_call_along(
    proxy: Server, provider_and_url: tuple[SteeredProvider, str]
) -> None:
    provider, url = provider_and_url
    async with ClientSession() as session:
        await create(session, proxy, url)
        async with ask(session, proxy) as answer:
            await provider.writes.put(chunk("one"))
            await read_event(answer)
            answer.close()
        await provider.writes.put(chunk("two"))
        async with asyncio.timeout(SOON):
            await provider.left.wait()


async def test_a_caller_who_leaves_before_the_answer_takes_the_provider_call_along(
    proxy: Server, provider_and_url: tuple[SteeredProvider, str]
) -> None:
    provider, url = provider_and_url
    provider.silent = True
    async with ClientSession() as session:
        await create(session, proxy, url)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(_status_of(ask(session, proxy)))
            await provider.called.wait()
            asking.cancel()
        async with asyncio.timeout(SOON):
            await provider.left.wait()


async def _status_of(asking: Any) -> int:
    async with asking as answer:
        return int(answer.status)
