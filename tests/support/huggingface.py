"""A HuggingFace in front of a provider that misbehaves on demand; retries do not wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from proxy.config import EgressConfig, ProviderConfig
from proxy.ground.errors import ProxyError
from proxy.huggingface.client import HuggingFace
from proxy.huggingface.embeddingcache import EmbeddingCache
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.retry import RetryPolicy, Sleep
from proxy.huggingface.session import provider_session
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.streaming import Stream
from proxy.limits.deadline import NO_DEADLINE
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from tests.support.egress import egress_rules
from tests.support.samples import PROFILE, make_endpoint
from tests.support.stubs import Call, FaultyServer, Reply, json_reply

SEND: Final = "Failed to send Hugging Face {} request from inference entity id [e1]. Cause: {}"
HELLO: Final = ChatRequest(messages=[{"content": "hello", "role": "user"}])


class Provider:
    """A HuggingFace, the server it calls, and the waits between its attempts."""

    def __init__(self, hugging_face: HuggingFace, server: FaultyServer, waits: list[float]) -> None:
        self.hugging_face = hugging_face
        self.server = server
        self.waits = waits

    def endpoint(self, task: TaskType = TaskType.TEXT_EMBEDDING, path: str = "/", **settings: Any):
        return make_endpoint(task, url=self.server.url + path, **settings)

    @property
    def calls(self) -> list[Call]:
        return self.server.calls

    @property
    def bodies(self) -> list[Any]:
        return [call.json for call in self.server.calls]

    async def embed(self, *inputs: str, **settings: Any):
        endpoint = self.endpoint(**settings)
        vectors = await self.hugging_face.embed(endpoint, inputs, NO_DEADLINE)
        return [vector.to_list() for vector in vectors]

    async def embed_sparse(self, *inputs: str, **settings: Any):
        endpoint = self.endpoint(TaskType.SPARSE_EMBEDDING, **settings)
        return await self.hugging_face.embed_sparse(endpoint, inputs, NO_DEADLINE)

    async def rerank(self, *documents: str, top_n=None, return_documents=None):
        return await self.hugging_face.rerank(
            self.endpoint(TaskType.RERANK),
            "query",
            documents,
            NO_DEADLINE,
            top_n=top_n,
            return_documents=return_documents,
        )

    async def complete(self, text: str = "hello", **settings: Any):
        return await self.hugging_face.complete(
            self.endpoint(TaskType.COMPLETION, **settings), text, NO_DEADLINE
        )

    async def stream(self, endpoint: InferenceEndpoint) -> Stream[list[str]]:
        return await self.hugging_face.stream_completion(endpoint, "hello", NO_DEADLINE)

    async def deltas(self, **settings: Any) -> list[list[str]]:
        endpoint = self.endpoint(TaskType.COMPLETION, **settings)
        with await self.stream(endpoint) as deltas:
            return [delta async for delta in deltas]

    async def chunks(self, request: ChatRequest = HELLO, **settings: Any) -> list[Any]:
        endpoint = self.endpoint(TaskType.CHAT_COMPLETION, **settings)
        with await self.hugging_face.stream_chat(endpoint, request, NO_DEADLINE) as chunks:
            return [chunk async for chunk in chunks]


@asynccontextmanager
async def answering(
    answer: Callable[[Call], Reply] | Sequence[Reply] | Reply,
    cache: EmbeddingCache | None = None,
    most: int = 100,  # connections
    sleep: Sleep | None = None,  # between attempts
    **settings: Any,
):
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    replies = [answer] if isinstance(answer, Reply) else answer
    session = provider_session(EgressConfig(), egress_rules(EgressConfig()), most=most)
    async with FaultyServer(replies) as server, session:
        hugging_face = HuggingFace(
            session,
            ProviderConfig(**settings),
            RateLimiter(0),
            RetryPolicy(sleep=sleep or note),
            PROFILE,
            Metrics(Endpoints()),
            cache,
        )
        try:
            yield Provider(hugging_face, server, waits)
        finally:
            await hugging_face.close()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The URL of a provider whose connections `serve` gets as they come."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def failing(call) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await call
    json.dumps(caught.value.envelope())
    return caught.value


def vectors(call: Call) -> Reply:
    """One vector per input, which holds the number that the input is."""
    return json_reply([[float(text)] for text in call.json["inputs"]])
