"""Callers of many kinds, good and bad, for the soak: each does one thing again and again.

A caller raises Unexpected if an answer is wrong. A request that it aborts has no answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import ClientSession

from bench.stub import EVENTS, VECTOR
from proxy.lane import Patience

JSON: Final = {"Content-Type": "application/json"}
LARGE: Final = 200  # documents in a large answer
DOCUMENT_BYTES: Final = 20_000  # of each of them
PATIENCE: Final = 90.0  # seconds for one call of a caller


class Unexpected(Exception):
    """An answer is wrong."""


@dataclass(frozen=True, slots=True)
class World:
    """What the callers share."""

    port: int  # of the proxy
    session: ClientSession
    provider: str  # URL of the stub

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, target: str, body: Any = None, status: int = 200) -> Any:
        """The answer's JSON. Raises: Unexpected for another status."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        async with self.session.request(
            method, self.base + target, data=data, headers=JSON if data else None
        ) as answer:
            content = await answer.read()
            if answer.status != status:
                raise Unexpected(f"{method} {target}: {answer.status} {content[:300]!r}")
            return json.loads(content) if content else None

    @asynccontextmanager
    async def connection(
        self, receive: int | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A plain connection, aborted at the end; `receive` is its receive buffer in bytes."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def head(method: str, target: str, length: int = 0) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: soak"]
    if length:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def read_answer(reader: asyncio.StreamReader, pause: float = 0.0) -> int:
    """Read an answer to its end; the size of its body. Raises: Unexpected."""
    start = await reader.readuntil(b"\r\n\r\n")
    if not start.startswith(b"HTTP/1.1 200 "):
        raise Unexpected(repr(start[:200]))
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", start)
    if length is not None:
        await read_bytes(reader, int(length[1]), pause)
        return int(length[1])
    total = 0
    while size := int(await reader.readline(), 16):
        await read_bytes(reader, size + 2, pause)
        total += size
    await reader.readline()
    return total


async def read_bytes(reader: asyncio.StreamReader, left: int, pause: float) -> None:
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise Unexpected(f"the answer ended {left} bytes early")
        left -= len(piece)
        if pause:
            await asyncio.sleep(pause)


# Requests that are forwarded


async def get(world: World) -> None:
    await world.ask("GET", "/_cluster/health")
    await world.ask("GET", "/soak/_doc/nothing", status=404)


async def search(world: World) -> None:
    found = await world.ask("POST", "/soak/_search", {"size": 10, "_source": ["number"]})
    if len(found["hits"]["hits"]) != 10:
        raise Unexpected(f"a search found {len(found['hits']['hits'])}")


def filled(ago: int = 0) -> str:
    """The index that is filled in this minute, or was `ago` minutes earlier."""
    return f"/soak-filled-{int(time.monotonic() // 60) - ago}"


async def bulk(world: World) -> None:
    lines = b'{"index":{}}\n{"text":"' + b"some words " * 20 + b'"}\n'
    found = await world.ask("POST", f"{filled()}/_bulk", lines * random.randint(1, 1000))
    if found["errors"]:
        raise Unexpected("a bulk request had errors")


async def empty(world: World) -> None:
    """Delete the indices of past minutes, so that the disk does not fill up."""
    for ago in (3, 4):
        await world.ask("DELETE", f"{filled(ago)}?ignore_unavailable=true")


async def download(world: World) -> None:
    found = await world.ask("GET", f"/soak/_search?size={LARGE}")
    if len(found["hits"]["hits"]) != LARGE:
        raise Unexpected("a download is not complete")


async def slow_reader(world: World) -> None:
    async with world.connection(receive=32768) as (reader, writer):
        writer.write(head("GET", f"/soak/_search?size={LARGE // 4}"))
        size = await read_answer(reader, pause=0.05)
        if size < LARGE // 4 * DOCUMENT_BYTES:
            raise Unexpected(f"a slow reader got {size} bytes")


async def half_closed(world: World) -> None:
    """A caller that closes its sending side: the lane waits for its answer, but not for long."""
    began = time.monotonic()
    async with world.connection() as (reader, writer):
        writer.write(head("GET", "/soak/_search?size=10"))
        writer.write_eof()
        try:
            await read_answer(reader)
        except ConnectionResetError:
            if time.monotonic() - began < Patience().half_closed:
                raise


async def pipelining(world: World) -> None:
    async with world.connection() as (reader, writer):
        writer.write(head("GET", "/_cluster/health") * 10)
        for _ in range(10):
            await read_answer(reader)


async def abort_download(world: World) -> None:
    async with world.connection() as (reader, writer):
        writer.write(head("GET", f"/soak/_search?size={LARGE}"))
        await reader.readexactly(random.choice((1, 1000, 50_000)))


async def abort_upload(world: World) -> None:
    async with world.connection() as (_, writer):
        writer.write(head("POST", f"{filled()}/_bulk", 1 << 20) + b'{"index":{}}\n{"a":1}\n' * 500)
        await writer.drain()
        await asyncio.sleep(random.random() / 10)


async def malformed(world: World) -> None:
    async with world.connection() as (reader, writer):
        writer.write(
            b"GET / HTTP/1.1\r\nHost: soak\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
        )
        answer = await reader.read()
        if not answer.startswith(b"HTTP/1.1 400 "):
            raise Unexpected(repr(answer[:200]))


# Requests that the proxy answers


async def infer(world: World) -> None:
    inputs = ["some text"] * random.choice((1, 1, 1, 100))
    found = await world.ask("POST", "/_inference/text_embedding/soak-embed", {"input": inputs})
    vectors = found["text_embedding"]
    if len(vectors) != len(inputs) or len(vectors[-1]["embedding"]) != len(VECTOR):
        raise Unexpected("an inference has another shape")


async def complete(world: World) -> None:
    found = await world.ask("POST", "/_inference/completion/soak-chat", {"input": "yes?"})
    if found != {"completion": [{"result": "yes"}]}:
        raise Unexpected(f"a completion is {found}")


async def stream(world: World) -> None:
    text = await whole_stream(world, "soak-chat")
    if text.count("event: message") != EVENTS + 1 or "[DONE]" not in text:
        raise Unexpected(f"a stream ended with {text[-200:]!r}")


async def cut_stream(world: World) -> None:
    text = await whole_stream(world, "soak-cut")
    if text.count("event: message") != EVENTS // 2 or "event: error" not in text:
        raise Unexpected(f"a stream that was cut ended with {text[-200:]!r}")


async def whole_stream(world: World, name: str) -> str:
    url = f"{world.base}/_inference/completion/{name}/_stream"
    async with world.session.post(url, json={"input": "x"}) as answer:
        return await answer.text()


async def abort_inference(world: World) -> None:
    body = b'{"input":"x"}'
    async with world.connection() as (reader, writer):
        writer.write(head("POST", "/_inference/completion/soak-chat/_stream", len(body)) + body)
        await reader.readexactly(random.choice((1, 500)))


async def bad_inference(world: World) -> None:
    target = "/_inference/text_embedding/soak-embed"
    await world.ask("POST", target, b'{"input": [', status=400)
    await world.ask("POST", "/_inference/text_embedding/nobody", {"input": "x"}, status=404)


async def change_endpoint(world: World) -> None:
    """On one connection, so at one worker: others may still have a deleted endpoint cached."""
    async with ClientSession() as session:
        own = World(world.port, session, world.provider)
        target = f"/_inference/text_embedding/soak-{random.getrandbits(40):x}"
        await own.ask("PUT", target, endpoint(f"{world.provider}/embed"))
        await own.ask("PUT", f"{target}/_update", {"service_settings": {"api_key": "other"}})
        await own.ask("POST", target, {"input": "x"})
        await own.ask("GET", "/_inference/_all")
        await own.ask("DELETE", target)
        await own.ask("GET", target, status=404)


def endpoint(url: str) -> dict[str, Any]:
    limit = {"requests_per_minute": 1_000_000}
    settings = {"url": url, "api_key": "secret", "rate_limit": limit}
    return {"service": "hugging_face", "service_settings": settings}


# Each with its pause in seconds, and how many do it concurrently.
CALLERS: Final[list[tuple[Callable[[World], Awaitable[None]], float, int]]] = [
    (get, 0.02, 4),
    (search, 0.1, 2),
    (bulk, 1.0, 2),
    (empty, 20.0, 1),
    (download, 1.0, 2),
    (slow_reader, 1.0, 2),
    (half_closed, 0.5, 2),
    (pipelining, 0.5, 2),
    (abort_download, 0.3, 2),
    (abort_upload, 0.3, 2),
    (malformed, 0.5, 1),
    (infer, 0.05, 4),
    (complete, 0.2, 2),
    (stream, 0.2, 4),
    (cut_stream, 0.5, 2),
    (abort_inference, 0.3, 2),
    (bad_inference, 0.5, 1),
    (change_endpoint, 1.0, 2),
]


async def prepare(world: World) -> None:
    """Create the indices and endpoints that the callers use."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    await world.ask("PUT", "/soak", {"settings": settings})
    text = "some words " * (DOCUMENT_BYTES // 11 + 1)
    lines = [
        line
        for number in range(LARGE)
        for line in ({"index": {"_id": str(number)}}, {"number": number, "text": text})
    ]
    mapping = {"properties": {"text": {"type": "keyword", "index": False, "doc_values": False}}}
    await world.ask("PUT", "/soak/_mapping", mapping)
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    await world.ask("POST", "/soak/_bulk?refresh=true", body)
    for name, task, path in (
        ("soak-embed", "text_embedding", "/embed"),
        ("soak-chat", "completion", "/v1/chat/completions"),
    ):
        url = world.provider + path
        await world.ask("PUT", f"/_inference/{task}/{name}", endpoint(url))
    url = f"{world.provider}/cut/v1/chat/completions"
    await world.ask("PUT", "/_inference/completion/soak-cut", endpoint(url))
