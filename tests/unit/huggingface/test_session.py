"""Connections to providers: kept, replaced once they are dead, and free with headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import NO_DEADLINE
from tests.support.huggingface import Provider, answering, failing, listening
from tests.support.samples import make_endpoint
from tests.support.stubs import Reply

VECTOR = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[[1]]"
EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    b"data: [DONE]\n\n"
)


class OnceOnly:
    """A provider that answers one request on each connection, and drops it with the second."""

    def __init__(self, provider: Provider, farewell: bytes) -> None:
        self.provider = provider
        self.farewell = farewell
        self.url = ""
        self.connections = 0
        self.requests = 0
        self.events = False
        self.together = asyncio.Barrier(1)  # requests that wait for one another

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for count in (1, 2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            self.requests += 1
            if count == 2:
                writer.write(self.farewell)
                break
            await self.together.wait()
            writer.write(EVENTS if self.events else VECTOR)
            if self.events:
                break
        writer.close()

    async def embed(self, text: str = "x") -> list[list[float]]:
        endpoint = make_endpoint(url=self.url)
        vectors = await self.provider.hugging_face.embed(endpoint, [text], NO_DEADLINE)
        return [vector.to_list() for vector in vectors]


@asynccontextmanager
async def once_only(farewell: bytes = b"") -> AsyncIterator[OnceOnly]:
    async with answering(Reply(), concurrency=6, server_info=False) as provider:
        stub = OnceOnly(provider, farewell)
        async with listening(stub.serve) as stub.url:
            yield stub


async def test_connections_dropped_while_idle_are_replaced_uncounted():
    async with once_only() as stub:
        stub.together = asyncio.Barrier(6)
        assert await asyncio.gather(*(stub.embed(text) for text in "abcdef")) == [[[1]]] * 6
        assert stub.connections == 6
        stub.together = asyncio.Barrier(1)
        assert await stub.embed() == [[1]]
        # One is found dead, the other five are not even tried.
        assert (stub.connections, stub.requests) == (7, 8)
        assert stub.provider.waits == []


async def test_a_stream_goes_out_again_before_its_first_byte():
    async with once_only() as stub:
        await stub.embed()
        stub.events = True
        chat = make_endpoint(TaskType.COMPLETION, url=stub.url)
        with await stub.provider.stream(chat) as deltas:
            assert [delta async for delta in deltas] == []
        assert (stub.connections, stub.provider.waits) == (2, [])


async def test_an_answer_that_had_begun_is_a_failed_attempt():
    async with once_only(b"HTTP/1.1 200 OK\r\nCont") as stub:
        await stub.embed()
        assert await stub.embed() == [[1]]
        assert len(stub.provider.waits) == 1


async def test_a_new_connection_that_is_dropped_is_a_failed_attempt():
    async with answering(Reply(fault="reset")) as provider:
        await failing(provider.embed("x"))
    assert len(provider.calls) == 3


@pytest.mark.parametrize("headers", [{"X-Long": "x" * 60_000}, {f"X-{n}": "x" for n in range(999)}])
async def test_long_heads_are_no_failure(headers):
    async with answering(Reply(body=b"[[1]]", headers=headers)) as provider:
        assert await provider.embed("x") == [[1]]
    stream = Reply(headers=headers, chunks=[b"data: [DONE]\n\n"])
    async with answering(stream) as provider:
        assert await provider.deltas() == []
