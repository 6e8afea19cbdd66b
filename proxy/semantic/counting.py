"""What the layer's figures count: requests by kind, documents that fail by reason, and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline
from proxy.semantic.bulk import Item
from proxy.semantic.passingon import PassingEndpoints
from proxy.semantic.ports import Endpoints
from proxy.telemetry.semantic import SemanticMetrics

# Segments of a route that say what kind of request it is for; the last one in its path counts.
_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("_async_search", "_count", "_delete_by_query", "_explain", "_msearch", "_rank_eval"),
            *("_query", "_search", "_validate"),
        ),
        "search",
    ),
    **dict.fromkeys(
        ("_bulk", "_create", "_doc", "_reindex", "_update", "_update_by_query"), "write"
    ),
    **dict.fromkeys(("_mget", "_source"), "read"),
}
_REASONS: Final[Mapping[int, str]] = {
    401: "privilege",
    403: "privilege",
    409: "conflict",
    429: "overload",
}


@cache
def kind_of(pattern: str, method: str) -> str:
    """The kind of a request by the pattern of its route."""
    kinds = [_KINDS[segment] for segment in pattern.split("/") if segment in _KINDS]
    kind = kinds[-1] if kinds else "other"
    return "read" if kind == "write" and method in ("GET", "HEAD") else kind


def count_failures(
    metrics: SemanticMetrics, items: Iterable[Item], entries: Iterable[Mapping[str, Any]]
) -> None:
    """Count the documents with fields or pipelines of ours that were not written.

    `entries` are the answers to all `items`.
    """
    for item, entry in zip(items, entries, strict=True):
        (answer,) = entry.values()
        if "error" in answer and (item.fields or item.is_ingested or item.failure is not None):
            metrics.count_failure(reason_of(answer["error"], answer["status"]))


def reason_of(error: Any, status: int) -> str:
    """The reason, as the figures have it, for an error as callers see it."""
    kind = error.get("type") if isinstance(error, Mapping) else None
    if kind == "inference_exception":
        return "provider"
    if kind == "resource_not_found_exception":
        return "endpoint"
    return _REASONS.get(status, "document" if status < 500 else "upstream")


class CountedEndpoints(PassingEndpoints):
    """Endpoints whose texts are counted, once they are embedded."""

    def __init__(self, endpoints: Endpoints, count: Callable[[int], None]) -> None:
        super().__init__(endpoints)
        self._count = count

    async def embed(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str,
    ) -> Sequence[WrittenEmbedding]:
        vectors = await self._endpoints.embed(endpoint, texts, deadline, input_type)
        self._count(len(texts))
        return vectors

    async def infer(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str | None = None,
    ) -> list[Any]:
        results = await self._endpoints.infer(endpoint, texts, deadline, input_type)
        self._count(len(texts))
        return results
