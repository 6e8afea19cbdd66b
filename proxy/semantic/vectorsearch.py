"""Searches for vectors that are near to one, as any Elasticsearch takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.semantic.similarity import TokenWeights, Vector

_MOST_CANDIDATES: Final = 10_000
# So many chunks are looked at where nobody says how many. With fewer, and a filter, 9.2 passes over
# some of the nearest.
_CANDIDATES: Final = 100
_LEAST_CANDIDATES: Final = 10


def nearest(field: str, vector: Vector, k: int, filters: Sequence[Any]) -> dict[str, Any]:
    """A search for the k vectors of a field that are nearest to one, of those the filters leave."""
    knn: dict[str, Any] = {
        "field": field,
        "query_vector": vector,
        "k": k,
        "num_candidates": candidates(k, None),
    }
    return {"knn": {**knn, "filter": list(filters)} if filters else knn}


def weighted(
    field: str, weights: TokenWeights, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A search for whatever shares a token; it is exact, and so needs neither a k nor filters."""
    return {"sparse_vector": {**(options or {}), "field": field, "query_vector": weights}}


def candidates(k: int, given: int | None) -> int:
    """How many chunks a shard looks at to find k documents. Source: KnnVectorQueryBuilder."""
    if given is None:
        return min(max(k * 3 // 2, _CANDIDATES), _MOST_CANDIDATES)
    return max(given, _LEAST_CANDIDATES) if given >= k else given  # what is too few, is refused
