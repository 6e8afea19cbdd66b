"""Endpoints that pass every call on: the base of classes that change some of the calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline
from proxy.semantic.ports import Endpoints


class PassingEndpoints:
    """Passes on whatever is asked of it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        return await self._endpoints.find(inference_id)

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        return await self._endpoints.completed(endpoint)

    async def embed(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str,
    ) -> Sequence[WrittenEmbedding]:
        return await self._endpoints.embed(endpoint, texts, deadline, input_type)

    async def infer(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str | None = None,
    ) -> list[Any]:
        return await self._endpoints.infer(endpoint, texts, deadline, input_type)

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        return await self._endpoints.rerank(endpoint, query, documents, deadline)
