"""Endpoints as whoever embeds or ranks texts with them needs them, outside the `_inference` API."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import EndpointNotFound
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.ports import EndpointStore, Provider
from proxy.limits.deadline import Deadline


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
    ) -> list[list[float]]:
        """A vector for each text. Raises: ProxyError for the provider's failures."""
        return await self._provider.embed(endpoint, texts, deadline)

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        """Which of `documents` have which scores for a query. Raises: as `embed`."""
        ranked = await self._provider.rerank(
            endpoint, query, documents, deadline, top_n=None, return_documents=None
        )
        return [(one.index, one.relevance_score) for one in ranked]
