"""How rankings become one, in the 32-bit arithmetic of Elasticsearch, so that scores are its own.

A sum, product or quotient of two 32-bit floats that is worked out in 64 bits and then rounded is
what 32-bit arithmetic gives. Source: RRFRetrieverBuilder, LinearRetrieverBuilder, the normalizers,
TextSimilarityRankFeaturePhaseRankCoordinatorContext, RankDoc.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from ctypes import c_float
from dataclasses import dataclass, replace
from typing import Final

Key = tuple[str, str]  # the index and the id of a document
Scores = Sequence[float]  # NaN for a hit without a score

_EPSILON: Final = c_float(1e-6).value
LEAST_SCORE: Final = 2.0**-149  # java.lang.Float.MIN_VALUE, the least above zero


def f32(number: float) -> float:
    """The 32-bit float that is nearest."""
    return c_float(number).value


@dataclass(frozen=True, slots=True)
class Scored:
    """A document in a ranking.

    `place` orders documents of equal score: that of the shard, then that of the document in it; or
    the rank in the search that found it, where the upstream does not tell.
    """

    key: Key
    score: float
    place: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What a fused score is made of, for each of the rankings in turn.

    `ranks` count from 1 and are 0 where the document is not in a ranking.
    """

    ranks: Sequence[int]
    shares: Sequence[float]


@dataclass(frozen=True, slots=True)
class Fused:
    """A ranking made of others; `parts` by document."""

    documents: Sequence[Scored]
    parts: Mapping[Key, Parts]


def rrf(
    rankings: Sequence[Sequence[Scored]], weights: Sequence[float], rank_constant: int, window: int
) -> Fused:
    """Reciprocal rank fusion: the sum of `weight / (rank_constant + rank)`."""
    shares = [
        [f32(weight * f32(1.0 / (rank_constant + rank))) for rank in range(1, len(ranking) + 1)]
        for ranking, weight in zip(rankings, weights, strict=True)
    ]
    return _fused(rankings, shares, [1.0] * len(rankings), window)


def linear(
    rankings: Sequence[Sequence[Scored]],
    weights: Sequence[float],
    normalizers: Sequence[str],
    window: int,
) -> Fused:
    """The weighted sum of normalized scores; a hit without a score counts as 0."""
    shares = [
        [0.0 if math.isnan(share) else share for share in NORMALIZERS[name](_scores(ranking))]
        for ranking, name in zip(rankings, normalizers, strict=True)
    ]
    return _fused(rankings, shares, weights, window)


def _fused(
    rankings: Sequence[Sequence[Scored]],
    shares: Sequence[Sequence[float]],
    weights: Sequence[float],
    window: int,
) -> Fused:
    """The sum of each document's weighted shares, best first, `window` documents at most."""
    sums: dict[Key, Scored] = {}
    ranks: dict[Key, list[int]] = {}
    parts: dict[Key, list[float]] = {}
    for number, ranking in enumerate(rankings):
        for rank, (one, share) in enumerate(zip(ranking, shares[number], strict=True), 1):
            before = sums.get(one.key)
            if before is None:
                before = Scored(one.key, 0.0, one.place)
                ranks[one.key] = [0] * len(rankings)
                parts[one.key] = [0.0] * len(rankings)
            added = f32(weights[number] * share)
            sums[one.key] = replace(before, score=f32(before.score + added))
            ranks[one.key][number] = rank
            parts[one.key][number] = share
    best = ordered(sums.values())[:window]
    return Fused(best, {one.key: Parts(ranks[one.key], parts[one.key]) for one in best})


def ordered(documents: Iterable[Scored]) -> list[Scored]:
    """Best first; those of equal score by place."""
    return sorted(documents, key=lambda one: (-one.score, one.place))


def _scores(ranking: Sequence[Scored]) -> list[float]:
    return [one.score for one in ranking]


# --- normalizers


def _minmax(scores: Scores) -> Scores:
    valid = [score for score in scores if not math.isnan(score)]
    if not valid:
        return scores
    least, most = min(valid), max(*valid, LEAST_SCORE)
    span = f32(most - least)
    if abs(span) < _EPSILON:
        return [1.0] * len(scores)
    return [f32(f32(score - least) / span) for score in scores]


def _l2(scores: Scores) -> Scores:
    norm = math.sqrt(sum(f32(score * score) for score in scores if not math.isnan(score)))
    return scores if norm < _EPSILON else [f32(score / norm) for score in scores]


NORMALIZERS: Final[Mapping[str, Callable[[Scores], Scores]]] = {
    "minmax": _minmax,
    "l2_norm": _l2,
    "none": lambda scores: scores,
}


# --- reranking


def shown_score(score: float) -> float:
    """A reranker's score as a search's: positive, in the same order."""
    return f32(max(score, 0.0) + min(f32(math.exp(min(score, 1.0))), 1.0))


def reranked(
    documents: Sequence[Scored], scores: Sequence[float], min_score: float | None
) -> list[Scored]:
    """The documents by a reranker's scores, without those below `min_score`."""
    least = -math.inf if min_score is None else f32(min_score)
    kept = [
        replace(one, score=shown_score(score))
        for one, score in zip(documents, map(f32, scores), strict=True)
        if score >= least
    ]
    return ordered(kept)
