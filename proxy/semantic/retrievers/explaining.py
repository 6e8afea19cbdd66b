"""Explanations of fused scores, around those that the upstream gives for its own.

Source: RRFRankDoc.explain, LinearRankDoc.explain, TextSimilarityRankDoc.explain, RankDoc.explain,
RankDocsQuery, KnnRetrieverBuilder.explainQuery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.semantic.retrievers.fusion import Fused, Key, Parts, Scored, f32
from proxy.semantic.retrievers.leaves import Ranking
from proxy.semantic.retrievers.tree import Leaf, Linear, Reranker, Retriever, Rrf
from proxy.xcontent.javatext import java_double

Explanation = dict[str, Any]

_FILTER: Final = "match on required clause, product of:"
_EVERYTHING: Final = "*:*"
_DOCUMENT: Final = 0xFFFFFFFF  # of a place; what is above is the shard's


def shortest(number: float) -> float:
    """A 32-bit float with no more digits than tell it from others."""
    for digits in range(1, 10):
        short = float(f"{number:.{digits}g}")
        if f32(short) == number:
            return short
    return number


def java_float(number: float) -> str:
    """A 32-bit float as Float.toString prints it."""
    return java_double(shortest(number))


def explain_rrf(
    tree: Rrf, weights: Sequence[float], fused: Fused, rankings: Sequence[Ranking]
) -> dict[Key, Explanation]:
    """By document."""
    labels = [branch.retriever for branch in tree.branches]

    def explained(one: Scored) -> Explanation:
        parts = fused.parts[one.key]
        details = [
            _rank(tree, n, one.key, parts, ranking, label(labels[n]))
            for n, ranking in enumerate(rankings)
        ]
        shown = ", ".join(map(str, parts.ranks))
        description = (
            f"rrf score: [{java_float(one.score)}] computed for initial ranks [{shown}] with "
            f"rankConstant: [{tree.rank_constant}] as sum of [1 / (rank + rankConstant)] for each "
            "query"
        )
        return _explanation(one.score, description, details)

    return {one.key: explained(one) for one in fused.documents}


def _rank(
    tree: Rrf, number: int, key: Key, parts: Parts, ranking: Ranking, name: str | None
) -> Explanation:
    query = _identifier(number, name)
    rank = parts.ranks[number]
    if not rank:
        return _explanation(0, f"rrf score: [0], result not found in query {query}")
    share = java_float(parts.shares[number])
    description = (
        f"rrf score: [{share}], for rank [{rank}] in query {query} computed as "
        f"[1 / ({rank} + {tree.rank_constant})], for matching query with score"
    )
    return _explanation(rank, description, _own(ranking, key))


def explain_linear(
    tree: Linear,
    weights: Sequence[float],
    normalizers: Sequence[str],
    fused: Fused,
    rankings: Sequence[Ranking],
) -> dict[Key, Explanation]:
    """By document."""
    names = [label(branch.retriever) for branch in tree.branches]

    def explained(one: Scored) -> Explanation:
        shares = fused.parts[one.key].shares
        details = []
        for n, ranking in enumerate(rankings):
            query, score = _identifier(n, names[n]), f32(weights[n] * shares[n])
            if shares[n] <= 0:
                missing = f"weighted score: [0], result not found in query {query}"
                details.append(_explanation(0, missing))
                continue
            description = (
                f"weighted score: [{java_float(score)}] in query {query} computed as "
                f"[{java_float(weights[n])} * {java_float(shares[n])}] using score normalizer "
                f"[{normalizers[n]}] for original matching query with score:"
            )
            details.append(_explanation(score, description, _own(ranking, one.key)))
        description = (
            f"weighted linear combination score: [{java_float(one.score)}] computed for "
            f"normalized scores {_floats(shares)} and weights {_floats(weights)} as sum of "
            "(weight[i] * score[i]) for each query."
        )
        return _explanation(one.score, description, details)

    return {one.key: explained(one) for one in fused.documents}


def explain_reranker(
    tree: Reranker, inference_id: str, documents: Sequence[Scored], ranking: Ranking
) -> dict[Key, Explanation]:
    """By document."""
    name = label(tree.child)
    description = (
        f"text_similarity_reranker match using inference endpoint: [{inference_id}] on document "
        f"field: [{tree.field}] matching on source query "
    )
    if tree.snippets is not None:
        description += f"and rescoring considering only top [{tree.snippets.size}] best chunks"
    description += "" if name is None else f"[{name}]"
    return {
        one.key: _explanation(one.score, description, _own(ranking, one.key)) for one in documents
    }


def explain_nearest(documents: Sequence[Scored]) -> dict[Key, Explanation]:
    """By document that a vector search found."""
    similarities = {
        one.key: _explanation(
            one.score, f"found vector with calculated similarity: {java_float(one.score)}"
        )
        for one in documents
    }
    return explain_ranks(documents, similarities)


def explain_ranks(
    documents: Sequence[Scored], sources: Mapping[Key, Explanation]
) -> dict[Key, Explanation]:
    """By document; `sources` explain what its score was made of."""
    explained = {}
    for rank, one in enumerate(documents, 1):
        description = (
            f"doc [{one.place & _DOCUMENT}] with an original score of [{java_float(one.score)}] "
            f"is at rank [{rank}] from the following source queries."
        )
        own = [sources[one.key]] if one.key in sources else []
        explained[one.key] = _explanation(rank, description, own)
    return explained


def topmost(own: Explanation, upstream: Mapping[str, Any]) -> Explanation:
    """That of a hit: the tree's own, beside the filters that any query of the index has.

    These hold back nested documents, or those that an alias leaves out; `upstream` is the hit's
    explanation as it came, which has them.
    """
    filters = [one for one in upstream["details"] if _is_filter(one)]
    return _explanation(own["value"], "sum of:", [own, *filters]) if filters else own


def _is_filter(detail: Mapping[str, Any]) -> bool:
    """Whether it is a filter, but for those of `ranked`, which are for the whole of an index."""
    if detail["description"] != _FILTER:
        return False
    return bool(detail["details"][-1]["description"] != _EVERYTHING)


def label(tree: Retriever) -> str | None:
    return tree.label if isinstance(tree, Leaf) else tree.common.label


def _identifier(number: int, name: str | None) -> str:
    return f"at index [{number}]" + ("" if name is None else f" [{name}]")


def _own(ranking: Ranking, key: Key) -> list[Any]:
    found = ranking.explanations.get(key)
    return [] if found is None else [found]


def _floats(numbers: Sequence[float]) -> str:
    return f"[{', '.join(map(java_float, numbers))}]"


def _explanation(value: float, description: str, details: Sequence[Any] = ()) -> Explanation:
    shown = value if isinstance(value, int) else shortest(value)
    return {"value": shown, "description": description, "details": list(details)}
