"""A provider whose outcomes are set by the test."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.inference.streaming import Stream
from proxy.xcontent.numbers import Numbers


class ScriptedProvider:
    """A Provider that records its calls.

    Each call returns `outcome`, raises it if it is an exception, and hangs if it is "hang".
    """

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome
        self.kept: list[Numbers] | None = None  # vectors for which it is not called
        self.calls: list[tuple[Any, ...]] = []
        self.called = asyncio.Event()
        self.endpoint: Any = None  # for which it has embedded last

    async def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        self.called.set()
        if self.outcome == "hang":
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def at_hand(self, endpoint, inputs):
        return self.kept

    async def embed(self, endpoint, inputs, deadline):
        self.endpoint = endpoint
        return [Numbers.of(vector) for vector in await self._answer("embed", list(inputs))]

    async def embed_sparse(self, endpoint, inputs, deadline):
        return await self._answer("embed_sparse", list(inputs))

    async def rerank(self, endpoint, query, documents, deadline, *, top_n, return_documents):
        return await self._answer("rerank", query, list(documents), top_n, return_documents)

    async def complete(self, endpoint, text, deadline):
        return await self._answer("complete", text)

    async def chat(self, endpoint, request, deadline):
        return await self._answer("chat", request)

    async def stream_completion(self, endpoint, text, deadline):
        outcome = await self._answer("stream_completion", text)
        return Stream(_each(outcome), lambda: None)

    async def stream_chat(self, endpoint, request, deadline):
        outcome = await self._answer("stream_chat", request)
        return Stream(_each(outcome), lambda: None)

    def forget(self, inference_id):
        self.calls.append(("forget", inference_id))


async def _each(items):
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item
