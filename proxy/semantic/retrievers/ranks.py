"""The `rank` of a search, which retrievers have replaced, as the retriever that it stands for.

Source: RRFRankBuilder.toRetriever, SearchSourceBuilder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.semantic.retrievers.leaves import KNN, STANDARD, listed
from proxy.semantic.retrievers.tree import RRF

_OPTIONS: Final = frozenset(("rank_window_size", "rank_constant"))
_REPLACED: Final = frozenset(("rank", "sub_searches", "query", "knn"))
_NOT_OF_RETRIEVERS: Final = frozenset(("boost", "inner_hits"))  # parts of `knn` sections


def with_retriever(body: Any) -> Any:
    """A search with a retriever in place of a `rank` that fuses; any other one stays as it is.

    Raises: IllegalArgument for what Elasticsearch refuses.
    """
    if not isinstance(body, Mapping) or "retriever" in body:
        return body
    rank = body.get("rank")
    options = rank.get(RRF) if isinstance(rank, Mapping) and len(rank) == 1 else None
    if not isinstance(options, Mapping) or not set(options) <= _OPTIONS:
        return body
    if "sub_searches" in body and "query" in body:
        raise IllegalArgument("cannot specify field [sub_searches] and field [query]")
    searches = body["sub_searches"] if "sub_searches" in body else _only(body)
    sections = listed(body.get("knn"))
    if not all(isinstance(one, Mapping) for one in [*listed(searches), *sections]):
        return body  # the upstream says what is wrong with it
    retrievers = [*map(_standard, listed(searches)), *map(_knn, sections)]
    if len(retrievers) < 2:
        raise IllegalArgument("[rrf] requires at least 2 sub-queries to be defined")
    kept = {name: value for name, value in body.items() if name not in _REPLACED}
    return {**kept, "retriever": {RRF: {**options, "retrievers": retrievers}}}


def _only(body: Mapping[str, Any]) -> Sequence[Any]:
    return [{"query": body["query"]}] if "query" in body else []


def _standard(search: Mapping[str, Any]) -> dict[str, Any]:
    name = _name_of(search.get("query"))
    return {STANDARD: {**search, **({} if name is None else {"_name": name})}}


def _knn(section: Mapping[str, Any]) -> dict[str, Any]:
    return {KNN: {name: one for name, one in section.items() if name not in _NOT_OF_RETRIEVERS}}


def _name_of(query: Any) -> Any:
    """The name of a query, which stands in its body, or in that of the field that it is about."""
    body = next(iter(query.values()), None) if isinstance(query, Mapping) else None
    if not isinstance(body, Mapping):
        return None
    below = next(iter(body.values()), None)
    return body.get("_name", below.get("_name") if isinstance(below, Mapping) else None)
