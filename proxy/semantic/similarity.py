"""Exact scores of vectors, as Elasticsearch defines them.

Source: VectorSimilarity, Lucene's VectorSimilarityFunction, SparseVectorQueryWrapper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, Final

Vector = Sequence[float]
TokenWeights = Mapping[str, float]
Embedding = Vector | TokenWeights


def dot_product(one: Vector, other: Vector) -> float:
    return math.fsum(map(mul, one, other))


def _cosine(query: Vector, vector: Vector) -> float:
    lengths = math.sqrt(dot_product(query, query) * dot_product(vector, vector))
    return (1 + dot_product(query, vector) / lengths) / 2 if lengths else 0.0


def _dot_product(query: Vector, vector: Vector) -> float:
    return (1 + dot_product(query, vector)) / 2


def _max_inner_product(query: Vector, vector: Vector) -> float:
    product = dot_product(query, vector)
    return 1 / (1 - product) if product < 0 else product + 1


def _l2_norm(query: Vector, vector: Vector) -> float:
    return 1 / (1 + math.dist(query, vector) ** 2)


_SCORES: Final[Mapping[str, Callable[[Vector, Vector], float]]] = {
    "cosine": _cosine,
    "dot_product": _dot_product,
    "max_inner_product": _max_inner_product,
    "l2_norm": _l2_norm,
}


def score(similarity: str, query: Vector, vector: Vector) -> float:
    """How near two vectors of the same length are: the larger, the nearer."""
    return _SCORES.get(similarity, _cosine)(query, vector)


def weighted_score(query: TokenWeights, weights: Mapping[str, Any]) -> float:
    """How much of a query's tokens a text has; what a client brought along may be no numbers."""
    return math.fsum(
        weight * held
        for token, weight in query.items()
        if isinstance(held := weights.get(token), int | float)
    )
