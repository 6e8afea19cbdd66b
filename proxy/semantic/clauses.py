"""The queries that stand for those on semantic fields, as any Elasticsearch takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.semantic import layout


@dataclass(frozen=True, slots=True)
class Clause:
    """A query, and the filter for the indices that it is meant for; None for all."""

    query: Any
    where: Any = None


def any_of(clauses: Sequence[Clause]) -> Any:
    """A query for what any of these finds."""
    queries = [clause.query if clause.where is None else _within(clause) for clause in clauses]
    if not queries:
        return {"match_none": {}}
    return queries[0] if len(queries) == 1 else {"bool": {"should": queries}}


def _within(clause: Clause) -> Any:
    return {"bool": {"filter": [clause.where], "must": [clause.query]}}


def in_indices(indices: Iterable[str]) -> Any:
    """A filter for the documents of these indices; shards of others do not even see the query."""
    return {"terms": {"_index": list(indices)}}


def not_in_indices(indices: Iterable[str]) -> Any:
    """A filter for the documents of all other indices."""
    return {"bool": {"must_not": [in_indices(indices)]}}


def nested(path: str, query: Any, own: Mapping[str, Any]) -> Any:
    """The documents of which a chunk of the field `path` meets `query`; the best one counts."""
    return {
        "nested": {
            "path": layout.chunks_path(path),
            "score_mode": "max",
            "ignore_unmapped": True,
            "query": query,
            **own,
        }
    }


def has_chunks(path: str, own: Mapping[str, Any]) -> Any:
    """The documents with at least one chunk of the field `path`."""
    return nested(path, {"exists": {"field": layout.vector_path(path)}}, own)


def own_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What every query may have."""
    return {name: body[name] for name in ("boost", "_name") if name in body}
