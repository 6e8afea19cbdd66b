"""Endpoints as whoever embeds or ranks texts with them needs them, outside the `_inference` API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.ground.errors import EndpointNotFound, StatusError
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ports import EndpointStore, Provider
from proxy.limits.deadline import Deadline
from proxy.xcontent.numbers import Numbers


class EmbeddingEndpoints:
    """Finds endpoints, and embeds and ranks texts with them."""

    def __init__(self, store: EndpointStore, provider: Provider) -> None:
        self._store = store
        self._provider = provider

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        """The endpoint; None if there is none. Raises: StoreError."""
        try:
            return (await self._store.get(inference_id)).endpoint
        except EndpointNotFound:
            return None

    async def embed(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[Numbers]:
        """A vector for each text. Raises: ProxyError for the provider's failures."""
        return await self._provider.embed(endpoint, texts, deadline)

    async def infer(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[Any]:
        """What the endpoint's task makes of each text, as JSON: a vector, weights by token, a text.

        Source: InferenceServiceResults.transformToCoordinationFormat.
        Raises: ProxyError for the provider's failures, and for tasks that take no texts alone.
        """
        match endpoint.task_type:
            case TaskType.TEXT_EMBEDDING:
                found = await self._provider.embed(endpoint, texts, deadline)
                return [vector.to_list() for vector in found]
            case TaskType.SPARSE_EMBEDDING:
                vectors = await self._provider.embed_sparse(endpoint, texts, deadline)
                return [dict(vector.tokens) for vector in vectors]
            case TaskType.COMPLETION:
                completions = [
                    await self._provider.complete(endpoint, text, deadline) for text in texts
                ]
                return [one for found in completions for one in found]
        raise StatusError(400, "Coordination format not supported")

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        """Which of `documents` have which scores for a query. Raises: as `embed`."""
        ranked = await self._provider.rerank(
            endpoint, query, documents, deadline, top_n=None, return_documents=None
        )
        return [(one.index, one.relevance_score) for one in ranked]
