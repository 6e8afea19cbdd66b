"""A provider whose endpoints are looked after, whoever calls them."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.inference.chat import ChatRequest
from proxy.inference.dimensions import DimensionsFinder
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.guard import ModelGuard
from proxy.inference.ports import Provider
from proxy.inference.results import RankedDocument, SparseVector
from proxy.inference.streaming import Stream
from proxy.inference.warmth import Warmth
from proxy.limits.deadline import Deadline
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.values import Json


class MaintainedProvider:
    """A Provider for stored endpoints: completed, kept warm, and true to their models."""

    def __init__(
        self,
        provider: Provider,
        dimensions: DimensionsFinder,
        warmth: Warmth,
        guard: ModelGuard | None,
    ) -> None:
        """Without a `guard`, providers are trusted with their models."""
        self._provider = provider
        self._dimensions = dimensions
        self._warmth = warmth
        self._guard = guard

    def at_hand(self, endpoint: InferenceEndpoint, inputs: Sequence[str]) -> list[Numbers] | None:
        if self._guard is not None:
            return None
        if (vectors := self._provider.at_hand(endpoint, inputs)) is not None:
            self._dimensions.note(endpoint, vectors)
            self._warmth.used(endpoint)
        return vectors

    async def embed(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[Numbers]:
        if self._guard is not None:
            endpoint = await self._guard.before(endpoint)
        vectors = await self._provider.embed(endpoint, inputs, deadline)
        if self._guard is not None:
            await self._guard.after(endpoint)
        self._dimensions.note(endpoint, vectors)
        self._warmth.used(endpoint)
        return vectors

    async def embed_sparse(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[SparseVector]:
        vectors = await self._provider.embed_sparse(endpoint, inputs, deadline)
        self._warmth.used(endpoint)
        return vectors

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
        ranked = await self._provider.rerank(
            endpoint,
            query,
            documents,
            deadline,
            top_n=top_n,
            return_documents=return_documents,
        )
        self._warmth.used(endpoint)
        return ranked

    async def complete(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> list[str]:
        return await self._provider.complete(endpoint, text, deadline)

    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Json:
        return await self._provider.chat(endpoint, request, deadline)

    async def stream_completion(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> Stream[list[str]]:
        return await self._provider.stream_completion(endpoint, text, deadline)

    async def stream_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Stream[Json]:
        return await self._provider.stream_chat(endpoint, request, deadline)

    def forget(self, inference_id: str) -> None:
        self._provider.forget(inference_id)
