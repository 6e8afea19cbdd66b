"""The complete application over real sockets, with a stub provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from proxy.app import make_application
from proxy.config import (
    CacheConfig,
    Config,
    LimitsConfig,
    ProviderConfig,
    StoreConfig,
    UpstreamConfig,
)
from tests.support.samples import TOKEN
from tests.support.stubs import JSON, Call, FaultyServer, Reply, contract_reply

TASKS = {
    "text_embedding": "/embed",
    "sparse_embedding": "/sparse",
    "rerank": "/rerank",
    "completion": "/v1/chat/completions",
    "chat_completion": "/v1/chat/completions",
}
PATIENCE = 30  # seconds for an answer, on a busy machine


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        error = self.json["error"]
        return str(error if isinstance(error, str) else error["reason"])

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = []
        for block in self.body.decode().removesuffix("\n\n").split("\n\n"):
            event, data = block.split("\n")
            text = data.removeprefix("data: ")
            found.append(
                (event.removeprefix("event: "), text if text == "[DONE]" else json.loads(text))
            )
        return found


class Proxy:
    """Sends requests byte for byte, one connection each."""

    def __init__(self, server: TestServer, provider: FaultyServer) -> None:
        self.server = server
        self.provider = provider

    async def raw(self, data: bytes) -> Answer | None:
        """What is answered to these bytes; None when the connection ends without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                received = await reader.read()
        finally:
            writer.close()
        if not received:
            return None
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode(errors="surrogateescape").split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        if headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(body)
        return Answer(status=int(first.split()[1]), headers=headers, body=body)

    async def __call__(
        self, method: str, target: str, body: Any = None, headers: Any = None
    ) -> Answer:
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        lines = [f"{method} {target} HTTP/1.1", "Host: proxy", "Connection: close"]
        given = dict(headers or {})
        if data and "Content-Type" not in given:
            given |= JSON
        lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
        if data:
            lines.append(f"Content-Length: {len(data)}")
        answer = await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        assert answer is not None
        return answer

    async def put(
        self, task: str, name: str = "e1", path: str | None = None, **body: Any
    ) -> Answer:
        url = self.provider.url + (path or TASKS[task])
        settings = {"url": url, "api_key": TOKEN, **body.pop("service_settings", {})}
        body = {"service": "hugging_face", "service_settings": settings, **body}
        answer = await self("PUT", f"/_inference/{task}/{name}", body)
        self.provider.calls.clear()
        return answer

    def provide(self, reply: Reply | Callable[[Call], Reply]) -> None:
        self.provider.answer = reply if callable(reply) else lambda _: reply


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return body
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    raise AssertionError(f"cut off after {body!r}")


@asynccontextmanager
async def proxy_with(
    folder,
    *,
    queue_capacity=2000,
    stream_heartbeat=0.0,
    upstream=None,
    provider=None,
    cache=0,
    **limits,
):
    """An application that keeps its store in `folder`, before a provider that answers properly.

    `provider` are further settings of how it is called, `cache` the bytes of kept embeddings.
    """
    config = Config(
        store=StoreConfig(kind=f"sqlite:{folder / 'endpoints.db'}", encryption_key="11" * 32),
        provider=ProviderConfig(
            timeout=5.0,
            retry_initial_delay=0.001,
            retry_max_delay=0.002,
            stream_idle_timeout=5.0,
            queue_capacity=queue_capacity,
            stream_heartbeat=stream_heartbeat,
            **(provider or {}),
        ),
        upstream=UpstreamConfig(url=upstream),
        cache=CacheConfig(bytes=cache),
        limits=LimitsConfig(**limits),
        lane=False,
    )
    async with FaultyServer(contract_reply) as stub:
        server = TestServer(make_application(config))
        await server.start_server()
        try:
            yield Proxy(server, stub)
        finally:
            await server.close()
