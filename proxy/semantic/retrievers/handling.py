"""A search whose retrievers are evaluated here, as one that any Elasticsearch takes.

The tree becomes a query that gives the documents that it found their scores, and 0 to all else that
it matches: so the upstream counts, aggregates, collapses, highlights and cuts pages as it would.
Source: RankDocsRetrieverBuilder.extractToSearchSourceBuilder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.limits.deadline import Deadline
from proxy.semantic.answers import hits_of
from proxy.semantic.ports import Endpoints
from proxy.semantic.retrievers.evaluation import Evaluation, Rewrite
from proxy.semantic.retrievers.explaining import topmost
from proxy.semantic.retrievers.fusion import LEAST_SCORE, Key, Scored
from proxy.semantic.retrievers.leaves import (
    KNN,
    MATCH_NONE,
    Asked,
    Query,
    Ranking,
    among,
    any_of,
    listed,
    ranked,
)
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import (
    Branch,
    Compound,
    Leaf,
    Linear,
    Reranker,
    Rescorer,
    Retriever,
    Rrf,
)
from proxy.semantic.retrievers.validation import children
from proxy.xcontent.javatext import java_text

Json = dict[str, Any]
Defaults = Mapping[str, Sequence[str]]

# Documents that get their scores one by one; of more, those of the page alone.
_SCORED: Final = 1000


@dataclass(frozen=True, slots=True)
class Resolved:
    """A search without retrievers, and what its hits' explanations become."""

    body: Json
    explanations: Mapping[Key, Any] = field(default_factory=dict)

    def patch(self, document: Any) -> Any:
        """The upstream's answer with the explanations of the tree's scores."""
        if self.explanations:
            for hit in hits_of(document):
                found = self.explanations.get((hit["_index"], hit["_id"]))
                if found is not None and "_explanation" in hit:
                    hit["_explanation"] = topmost(found, hit["_explanation"])
        return document


async def resolved(
    tree: Retriever,
    body: Mapping[str, Any],
    *,
    searches: Searches,
    rewrite: Rewrite,
    endpoints: Endpoints,
    deadline: Deadline,
) -> Resolved:
    """The search with what its tree finds in its place. Raises: ProxyError."""
    evaluation = Evaluation(
        searches=searches,
        rewrite=rewrite,
        endpoints=endpoints,
        deadline=deadline,
        body=body,
        explain=body.get("explain") is True,
    )
    async with searches.at_one_time(body.get("pit")):
        if isinstance(tree, Leaf):
            leaf = await evaluation.without_inner(tree, Asked(size=0))
            return Resolved({**body, "retriever": {leaf.name: leaf.values}})
        ranking = await evaluation.ranking(tree)
    return Resolved(_final(tree, ranking, body), ranking.explanations)


def spelled_out(tree: Retriever, expand: Callable[[Rrf | Linear], Retriever]) -> Retriever:
    """The tree with each node that has fields and a text expanded."""
    if isinstance(tree, Leaf):
        inner = None if tree.inner is None else spelled_out(tree.inner, expand)
        return replace(tree, inner=inner)
    if isinstance(tree, Reranker | Rescorer):
        return replace(tree, child=spelled_out(tree.child, expand))
    if tree.simplified.query is not None:
        return expand(tree)
    branches: list[Branch] = [
        replace(branch, retriever=spelled_out(branch.retriever, expand)) for branch in tree.branches
    ]
    return replace(tree, branches=branches)


def all_queries(tree: Retriever, body: Mapping[str, Any]) -> Json:
    """A search that has every query of the tree and of the rest of the body."""
    queries: list[Any] = []
    sections: list[Any] = []
    rescores: list[Any] = []

    def collect(one: Retriever) -> None:
        if isinstance(one, Leaf):
            queries.extend(listed(one.values.get("filter")))
            if one.name == KNN:
                sections.append(one.values)
            elif "query" in one.values:
                queries.append(one.values["query"])
        else:
            queries.extend(one.common.filters)
            if isinstance(one, Rescorer):
                rescores.extend(one.rescore)
        for child in children(one):
            collect(child)

    collect(tree)
    made = {key: value for key, value in body.items() if key != "retriever"}
    made["query"] = any_of(queries)
    made |= {"knn": sections} if sections else {}
    return made | ({"rescore": rescores} if rescores else {})


def _final(tree: Compound, ranking: Ranking, body: Mapping[str, Any]) -> Json:
    documents, start = ranking.documents, _number(body, "from", 0)
    size = _number(body, "size", tree.common.window)
    size = max(0, min(size, len(documents) - start))
    made = {key: value for key, value in body.items() if key != "retriever"}
    made |= {"from": start, "size": size}
    least = _least(tree)
    if least is not None:
        made["min_score"] = least
    scored, rest = list(documents), []
    if len(documents) > _SCORED:
        scored, rest = list(documents[start : start + size]), [*documents]
        made["from"] = 0
    matches = ranking.matches if _counts_matches(body, len(documents)) else None
    made["query"] = _query(scored, rest, matches, tree.common.label)
    return made


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    """A part of a search that is a number. Raises: IllegalArgument."""
    value = body.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise IllegalArgument(f"[{name}] must be a number, found [{java_text(value)}]") from None


def _query(
    scored: Sequence[Scored], rest: Sequence[Scored], matches: Query | None, name: str | None
) -> Query:
    """`scored` with their scores, `rest` and all of `matches` with 0."""
    clauses: list[Query] = [ranked(scored)] if scored else []
    others = [] if matches is None else [matches]
    if rest:
        others.append(among([one.key for one in rest]))
    if others:
        clauses.append({"constant_score": {"filter": any_of(others), "boost": 0}})
    if not clauses:
        return MATCH_NONE
    query: Json = {"bool": {"should": clauses}}
    if name is not None:
        query["bool"]["_name"] = name
    return query


def _counts_matches(body: Mapping[str, Any], found: int) -> bool:
    """Whether more than the documents found matters to the answer."""
    if any(name in body for name in ("aggs", "aggregations", "highlight", "profile", "explain")):
        return True
    limit = body.get("track_total_hits")
    if not isinstance(limit, int):  # the upstream reads it, or refuses it
        return limit != "false"
    return limit is not False and (limit is True or limit > found)


def _least(tree: Compound) -> float | None:
    """The least score of a hit; where a child has one, what it alone matches is left out."""
    least = tree.common.min_score
    if least is not None:
        return LEAST_SCORE if isinstance(tree, Reranker) else least
    for child in children(tree):
        given = child.values.get("min_score") if isinstance(child, Leaf) else child.common.min_score
        if given is not None:
            return LEAST_SCORE
    return None
