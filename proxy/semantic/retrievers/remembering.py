"""Endpoints for one request, which has its texts embedded in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.semantic.ports import Endpoints
from proxy.xcontent.numbers import Numbers


class RememberingEndpoints:
    """Endpoints that embed each text once, however often a request has it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._known: dict[tuple[str, str], Numbers] = {}

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        return await self._endpoints.find(inference_id)

    async def embed(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[Numbers]:
        keys = [(endpoint.inference_id, text) for text in texts]
        missing = list(dict.fromkeys(key for key in keys if key not in self._known))
        if missing:
            vectors = await self._endpoints.embed(endpoint, [text for _, text in missing], deadline)
            self._known.update(zip(missing, vectors, strict=True))
        return [self._known[key] for key in keys]

    async def infer(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[Any]:
        return await self._endpoints.infer(endpoint, texts, deadline)

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        return await self._endpoints.rerank(endpoint, query, documents, deadline)
