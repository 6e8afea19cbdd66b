"""The bodies of searches: every place where a query may stand is rewritten."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.errors import ProxyError, StatusError
from proxy.limits.deadline import Deadline
from proxy.semantic.ports import Endpoints
from proxy.semantic.queries import ANYWHERE, LEAST_K, Rewriter, Vectors, Wanted
from proxy.semantic.registry import Target

_DEFAULT_SIZE: Final = 10
_AGGREGATIONS: Final = ("aggs", "aggregations")


def rewritten(body: Mapping[str, Any], target: Target, vectors: Vectors | None) -> Search:
    """A search body with its queries rewritten; with `vectors` None only to see what it needs."""
    size = body.get("size", _DEFAULT_SIZE)
    k = max(size if isinstance(size, int) else _DEFAULT_SIZE, LEAST_K)
    rewriter = Rewriter(target, k, vectors)
    return Search(rewriter, _search(body, rewriter))


class Search:
    """A search body on its way, and what it still needs."""

    def __init__(self, rewriter: Rewriter, body: dict[str, Any]) -> None:
        self.body = body
        self.wanted: Sequence[Wanted] = tuple(rewriter.wanted)
        self.is_semantic = rewriter.is_semantic


def _search(body: Mapping[str, Any], rewriter: Rewriter) -> dict[str, Any]:
    made = dict(body)
    for name in ("query", "post_filter"):
        if name in body:
            made[name] = rewriter.query(body[name])
    if "knn" in body:
        made["knn"] = _sections(body["knn"], rewriter)
    if "rescore" in body:
        made["rescore"] = _each(body["rescore"], lambda one: _rescore(one, rewriter))
    for name in _AGGREGATIONS:
        if isinstance(body.get(name), Mapping):
            made[name] = _aggregations(body[name], rewriter)
    if isinstance(body.get("retriever"), Mapping):
        made["retriever"] = _retriever(body["retriever"], rewriter)
    return made


def _sections(value: Any, rewriter: Rewriter) -> Any:
    """The top-level `knn` sections. One on a semantic field becomes one on its vectors."""
    return _each(value, lambda one: _section(one, rewriter))


def _section(section: Any, rewriter: Rewriter) -> Any:
    if not isinstance(section, Mapping):
        return section
    made = rewriter.query({"knn": section}, ANYWHERE)
    if "nested" in made:
        nested = made["nested"]
        common = {name: nested[name] for name in ("boost", "_name") if name in nested}
        return {**nested["query"]["knn"], **common}
    return made["knn"]


def _rescore(value: Any, rewriter: Rewriter) -> Any:
    query = value.get("query") if isinstance(value, Mapping) else None
    if not isinstance(query, Mapping) or "rescore_query" not in query:
        return value
    return {
        **value,
        "query": {**query, "rescore_query": rewriter.query(query["rescore_query"])},
    }


def _aggregations(value: Mapping[str, Any], rewriter: Rewriter) -> dict[str, Any]:
    return {name: _aggregation(one, rewriter) for name, one in value.items()}


def _aggregation(value: Any, rewriter: Rewriter) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    if "filter" in value:
        made["filter"] = rewriter.query(value["filter"])
    filters = value.get("filters")
    if isinstance(filters, Mapping) and "filters" in filters:
        made["filters"] = {**filters, "filters": _filters(filters["filters"], rewriter)}
    for name in _AGGREGATIONS:
        if isinstance(value.get(name), Mapping):
            made[name] = _aggregations(value[name], rewriter)
    return made


def _filters(value: Any, rewriter: Rewriter) -> Any:
    if isinstance(value, Mapping):
        return {name: rewriter.query(one) for name, one in value.items()}
    return _each(value, rewriter.query)


def _retriever(value: Mapping[str, Any], rewriter: Rewriter) -> dict[str, Any]:
    """The leaves of a tree of retrievers."""
    made = {}
    for name, one in value.items():
        if isinstance(one, Mapping):
            one = dict(one)
            if name == "knn":
                one = _section(one, rewriter)
            for place in ("query", "filter"):
                if name != "knn" and place in one and not isinstance(one[place], str):
                    one[place] = _each(one[place], rewriter.query)
            if isinstance(one.get("retriever"), Mapping):
                one["retriever"] = _retriever(one["retriever"], rewriter)
        made[name] = one
    return made


def _each(value: Any, change: Any) -> Any:
    return [change(one) for one in value] if isinstance(value, list) else change(value)


async def embedded(
    wanted: Sequence[Wanted], endpoints: Endpoints, deadline: Deadline
) -> dict[Wanted, list[float]]:
    """The vectors of these texts, those of one endpoint in one call.

    Raises: StatusError 404 for an endpoint that does not exist, and providers' ProxyErrors.
    """
    by_endpoint: dict[str, list[str]] = {}
    for inference_id, text in wanted:
        by_endpoint.setdefault(inference_id, []).append(text)
    vectors: dict[Wanted, list[float]] = {}

    async def embed(inference_id: str, texts: list[str]) -> None:
        endpoint = await endpoints.find(inference_id)
        if endpoint is None:
            error = StatusError(404, f"Inference endpoint not found [{inference_id}]")
            error.type = "resource_not_found_exception"
            raise error
        for text, vector in zip(
            texts, await endpoints.embed(endpoint, texts, deadline), strict=True
        ):
            vectors[inference_id, text] = vector

    try:
        async with asyncio.TaskGroup() as tasks:
            for inference_id, texts in by_endpoint.items():
                tasks.create_task(embed(inference_id, texts))
    except* ProxyError as group:
        raise _first(group) from None
    return vectors


def _first(group: BaseExceptionGroup[ProxyError]) -> ProxyError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
