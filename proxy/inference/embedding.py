"""Endpoints for those who embed or rank texts without a request to the `_inference` API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from proxy.ground.errors import EndpointNotFound, ProxyError, StatusError
from proxy.inference.dimensions import DimensionsFinder
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.inputtypes import PrefixesOf, prefix_for, with_prefix
from proxy.inference.ports import EndpointStore, Provider
from proxy.inference.results import WrittenEmbedding
from proxy.inference.within import until
from proxy.limits.deadline import Deadline
from proxy.limits.threads import offload
from proxy.xcontent.weights import Weights

_WEIGHTS_AT_ONCE: Final = 20_000  # that are written while others wait
_HALVES: Final = re.compile("[\ud800-\udfff]")


class EmbeddingEndpoints:
    """Finds endpoints, and embeds and ranks texts with them."""

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        dimensions: DimensionsFinder,
        prefixes_of: PrefixesOf,
    ) -> None:
        self._store = store
        self._provider = provider
        self._dimensions = dimensions
        self._prefixes_of = prefixes_of

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        """The endpoint; None if there is none. Raises: StoreError."""
        try:
            return (await self._store.get(inference_id)).endpoint
        except EndpointNotFound:
            return None

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint with the size of its vectors, even if it was starting when it was created.

        Raises: ProxyError for the provider's failures.
        """
        return await self._dimensions.completed(endpoint)

    async def embed(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str,
    ) -> Sequence[WrittenEmbedding]:
        """A vector, or weights of tokens, for each text; as the endpoint's task makes them.

        Raises: ProxyError for the provider's failures; RequestTimedOut at the deadline.
        """
        inputs = self._prefixed(endpoint, _encodable(texts), input_type)
        with until(deadline, endpoint.inference_id):
            if endpoint.task_type is not TaskType.SPARSE_EMBEDDING:
                return await self._provider.embed(endpoint, inputs, deadline)
            found = await self._provider.embed_sparse(endpoint, inputs, deadline)
        size = sum(len(one.tokens) for one in found)
        return await offload(
            size, _WEIGHTS_AT_ONCE, lambda: [Weights.of(one.tokens) for one in found]
        )

    def _prefixed(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], input_type: str | None
    ) -> Sequence[str]:
        return with_prefix(prefix_for(self._prefixes_of, endpoint, input_type), texts)

    async def infer(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str | None = None,
    ) -> list[Any]:
        """What the endpoint's task makes of each text, as JSON: a vector, weights by token, a text.

        Source: InferenceServiceResults.transformToCoordinationFormat.
        Raises: as `embed`; ProxyError for tasks that take no texts alone.
        """
        texts = self._prefixed(endpoint, _encodable(texts), input_type)
        with until(deadline, endpoint.inference_id):
            return await self._inferred(endpoint, texts, deadline)

    async def _inferred(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[Any]:
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
        query, *documents = _encodable([query, *documents])
        with until(deadline, endpoint.inference_id):
            ranked = await self._provider.rerank(
                endpoint, query, documents, deadline, top_n=None, return_documents=None
            )
        return [(one.index, one.relevance_score) for one in ranked]


def is_about_a_text(error: ProxyError) -> bool:
    """Whether a provider has refused what it was sent, and may take other texts."""
    return error.provider_status in (400, 413, 422) and is_of_some_texts(error)


def is_of_some_texts(error: ProxyError) -> bool:
    """Whether a provider may take other texts, for all that its error tells."""
    return error.advice is None or not error.advice.is_general


def _encodable(texts: Sequence[str]) -> list[str]:
    """Texts as UTF-8 can carry them: documents and queries may have halves of surrogate pairs."""
    return [text if text.isascii() else _HALVES.sub("\ufffd", text) for text in texts]
