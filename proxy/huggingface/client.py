"""Hugging Face endpoints: a method for each task of the service.

A call waits for its endpoint's rate limit, is tried up to three times, and is cut off by whoever
asks for it, whatever the provider does. Texts go out in batches that providers take.
Source: HuggingFaceService, HuggingFaceActionCreator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import aiohttp

from proxy.config import ProviderConfig
from proxy.ground.errors import CountMismatch
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.batching import Batch, texts_of
from proxy.huggingface.batchsender import BatchSender, BatchTask
from proxy.huggingface.calls import Calls
from proxy.huggingface.chatreplies import parse_chat, parse_chat_event
from proxy.huggingface.coalescing import Coalescer
from proxy.huggingface.embeddingcache import (
    VECTORS,
    WEIGHTS,
    CachedTask,
    EmbeddingCache,
    Send,
)
from proxy.huggingface.failurelog import FailureLog
from proxy.huggingface.observing import Observer
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.reading import PER_NODE, Reader
from proxy.huggingface.replies import (
    flawless_embeddings,
    parse_completion,
    parse_completion_event,
    parse_embeddings,
    parse_rerank,
    parse_sparse,
)
from proxy.huggingface.requests import chat_body, completion_body, embedding_body, rerank_body
from proxy.huggingface.retry import RetryPolicy
from proxy.huggingface.sender import Sender
from proxy.huggingface.servers import Servers
from proxy.huggingface.streams import Converted, Silence, read_events
from proxy.huggingface.usage import TokenCount
from proxy.huggingface.waking import Waking
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.fingerprints import Model
from proxy.inference.ports import Sighting
from proxy.inference.releases import Profile
from proxy.inference.results import RankedDocument, SparseVector
from proxy.inference.streaming import Stream
from proxy.limits.deadline import Deadline
from proxy.limits.turns import Turns
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.values import Json

T = TypeVar("T")


class HuggingFace:
    """Every task of the service, for any endpoint; a `Provider`.

    All methods raise ProxyError: what failures.py makes of failed calls, and Rejected and
    MemoryShort.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: ProviderConfig,
        limiter: RateLimiter,
        retry: RetryPolicy,
        profile: Profile,
        metrics: Metrics,
        cache: EmbeddingCache | None,
    ) -> None:
        self._profile = profile
        self._endpoints = metrics.endpoints
        observer = Observer(metrics.endpoints, Storms())
        calls = self._calls = Calls(session, config, metrics)
        self._waking = Waking(config, clock=retry.clock, sleep=retry.sleep)
        self._servers = Servers(session, config)
        self._sender = Sender(
            calls, limiter, retry, profile, metrics, observer, self._waking, self._servers
        )
        self._batches = BatchSender(self._sender, config, self._servers)
        self._vectors = None if cache is None else CachedTask(cache, VECTORS)
        weights = None if cache is None else CachedTask(cache, WEIGHTS)
        self._embed = _sending(self._batches, _EMBEDDING, config, _size_of_vector, self._vectors)
        self._embed_sparse = _sending(
            self._batches, _SPARSE_EMBEDDING, config, _size_of_weights, weights
        )
        self._failures = FailureLog(Storms(), observer)
        self._turns, self._silence = Turns(), Silence(config.stream_idle_timeout)

    async def close(self) -> None:
        """End what goes on in the background, before the session is closed."""
        await self._servers.close()
        self._calls.close()

    def sighting(self, endpoint: InferenceEndpoint) -> Sighting:
        """What is seen of the endpoint's server."""
        server = self._servers.of(endpoint)
        model = Model()
        if server.info is not None:
            model = Model(model_id=server.info.model_id, model_sha=server.info.model_sha)
        return Sighting(model, server.interruptions)

    @property
    def waiting(self) -> int:
        """Calls that wait for servers to start."""
        return self._waking.waiting

    def at_hand(self, endpoint: InferenceEndpoint, inputs: Sequence[str]) -> list[Numbers] | None:
        """The vectors, if the cache has them all in memory. Raises: MemoryShort."""
        if self._vectors is None:
            return None
        texts = texts_of(inputs, endpoint.service_settings.max_input_tokens)
        return self._vectors.at_hand(endpoint, texts)

    async def embed(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[Numbers]:
        """One vector per input, in input order."""
        texts = texts_of(inputs, endpoint.service_settings.max_input_tokens)
        with self._failures.watching(endpoint, deadline):
            return await self._embed(endpoint, texts, deadline)

    async def embed_sparse(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[SparseVector]:
        """One map of token weights per input, in input order."""
        texts = texts_of(inputs, endpoint.service_settings.max_input_tokens)
        with self._failures.watching(endpoint, deadline):
            return await self._embed_sparse(endpoint, texts, deadline)

    async def rerank(
        self,
        endpoint: InferenceEndpoint,
        query: str,
        documents: Sequence[str],
        deadline: Deadline,
        *,
        top_n: int | None,
        return_documents: bool | None,
    ) -> list[RankedDocument]:
        """The documents, best first, `top_n` at most; each with its index into `documents`."""

        def body(batch: Batch) -> Json:
            return rerank_body(batch, query, top_n=top_n, return_documents=return_documents)

        task = BatchTask(body=body, reader=_ranked, cuts_texts=False)
        with self._failures.watching(endpoint, deadline):
            ranked = await self._batches.results(endpoint, task, texts_of(documents), deadline)
        ranked.sort(key=lambda one: -one.relevance_score)  # stable: ties keep the reply's order
        return ranked[:top_n]

    async def complete(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> list[str]:
        """The answers to one prompt, one per choice."""
        body = completion_body(endpoint, text, stream=False)
        with self._failures.watching(endpoint, deadline):
            return await self._sender.answer(endpoint, body, Reader(parse_completion), deadline)

    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Json:
        """The answer of a chat in one piece, in Elasticsearch's form."""
        body = chat_body(endpoint, request, stream=False)
        parse = partial(parse_chat, reasons=self._profile.reasons)
        with self._failures.watching(endpoint, deadline):
            return await self._sender.answer(endpoint, body, Reader(parse), deadline)

    async def stream_completion(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> Stream[list[str]]:
        """The deltas of an answer, as they come, once the provider has begun to answer."""

        def convert(event: ServerSentEvent) -> list[str]:
            return parse_completion_event(event, endpoint)

        body = completion_body(endpoint, text, stream=True)
        return await self._stream(endpoint, body, convert, deadline)

    async def stream_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Stream[Json]:
        """The chunks of a chat, as they come, in Elasticsearch's form."""

        def convert(event: ServerSentEvent) -> Json:
            return parse_chat_event(event, endpoint, reasons=self._profile.reasons)

        body = chat_body(endpoint, request, stream=True)
        return await self._stream(endpoint, body, convert, deadline)

    def forget(self, inference_id: str) -> None:
        """Count what a deleted endpoint has used with that of others."""
        self._endpoints.forget(inference_id)

    async def _stream(
        self,
        endpoint: InferenceEndpoint,
        body: Json,
        convert: Callable[[ServerSentEvent], T],
        deadline: Deadline,
    ) -> Stream[T]:
        with self._failures.watching(endpoint, deadline):
            reply = await self._sender.open(endpoint, body, deadline)
        events = read_events(endpoint, reply, self._silence, self._profile, self._turns)
        count = TokenCount(self._endpoints, endpoint).note
        failed = self._failures.stream_failed
        return Stream(Converted(endpoint, events, convert, count, failed), reply.close)


def _sending(
    batches: BatchSender,
    task: BatchTask[T],
    config: ProviderConfig,
    size_of: Callable[[T], int],
    cached: CachedTask[T] | None,
) -> Send[T]:
    """What sends texts for a task: by themselves, or with those of other requests."""
    if cached is not None:
        task = replace(task, keep=cached.keep)
        return cached.over(_sending(batches, task, config, size_of, None))
    if config.coalescing:
        return Coalescer(batches, task, config, size_of).results
    return lambda endpoint, texts, deadline: batches.results(endpoint, task, texts, deadline)


def _vectors(batch: Batch) -> Reader[list[Numbers]]:
    def by_token(data: bytes) -> list[Numbers]:
        return _one_each(batch, parse_embeddings(data))

    def flawless(data: bytes) -> list[Numbers] | None:
        vectors = flawless_embeddings(data)
        return None if vectors is None else _one_each(batch, vectors)

    return Reader(by_token, flawless)


def _token_weights(batch: Batch) -> Reader[list[SparseVector]]:
    truncated = [text.is_truncated for text in batch.texts]
    return Reader(lambda data: _one_each(batch, parse_sparse(data, truncated)))


def _size_of_vector(vector: Numbers) -> int:
    return len(vector.json)


def _size_of_weights(vector: SparseVector) -> int:
    return len(vector.tokens) * PER_NODE


def _one_each(batch: Batch, results: list[T]) -> list[T]:
    if len(results) != len(batch):
        raise CountMismatch(len(results), len(batch))
    return results


def _ranked(batch: Batch) -> Reader[list[RankedDocument]]:
    def by_token(data: bytes) -> list[RankedDocument]:
        ranked = parse_rerank(data, len(batch))
        return [replace(one, index=batch.texts[one.index].index) for one in ranked]

    return Reader(by_token)


_EMBEDDING: Final = BatchTask(body=embedding_body, reader=_vectors, cuts_texts=True)
_SPARSE_EMBEDDING: Final = BatchTask(body=embedding_body, reader=_token_weights, cuts_texts=True)
