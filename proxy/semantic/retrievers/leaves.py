"""Searches of the leaves of a tree, in a form that every Elasticsearch takes.

A leaf is sent as a query or as a `knn` section, so that the upstream need not know of retrievers.
Source: StandardRetrieverBuilder, KnnRetrieverBuilder, CompoundRetrieverBuilder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.semantic.retrievers.fusion import LEAST_SCORE, Key, Scored
from proxy.semantic.retrievers.tree import Leaf

Query = Mapping[str, Any]

STANDARD: Final = "standard"
KNN: Final = "knn"
_BESIDE_QUERY: Final = ("sort", "collapse", "min_score")
_OF_STANDARD: Final = frozenset(("query", "filter", "_name", *_BESIDE_QUERY))
_NOT_BELOW: Final = ("search_after", "terminate_after")  # others
_OF_LONE_STANDARD: Final = _OF_STANDARD.union(_NOT_BELOW)
# Parts of a body that retrievers stand in place of.
INSTEAD: Final = ("query", "knn", "search_after", "terminate_after", "sort", "rescore")
# Parts of the caller's body that its leaves need, too.
_SHARED: Final = ("runtime_mappings", "timeout")
MATCH_ALL: Final[Query] = {"match_all": {}}
MATCH_NONE: Final[Query] = {"match_none": {}}


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a retriever finds: the best documents, and a query for all that it matches."""

    documents: Sequence[Scored]
    matches: Query
    explanations: Mapping[Key, Any] = field(default_factory=dict)
    texts: Mapping[Key, str] = field(default_factory=dict)  # of a field that was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of every leaf besides its best hits."""

    size: int
    filters: Sequence[Any] = ()
    explain: bool = False
    text_of: str | None = None  # the field whose first value is wanted
    rescore: Sequence[Any] = ()  # what the hits are rescored by


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def filters_of(leaf: Leaf, asked: Asked) -> list[Any]:
    """The filters that hold for a leaf, its own last."""
    return [*asked.filters, *listed(leaf.values.get("filter"))]


def search_of(leaf: Leaf, asked: Asked, body: Mapping[str, Any]) -> dict[str, Any]:
    """The search that finds a leaf's hits; `body` is that of the caller."""
    made: dict[str, Any] = {name: body[name] for name in _SHARED if name in body}
    filters = filters_of(leaf, asked)
    values = {**leaf.values, "filter": filters} if filters else leaf.values
    if leaf.name == KNN:
        made["knn"] = {name: value for name, value in values.items() if name != "min_score"}
    else:
        made["retriever"] = {leaf.name: values}
    most = values.get("k") if leaf.name == KNN else None
    size = min(asked.size, most) if isinstance(most, int) and most >= 0 else asked.size
    made |= {"size": size, "track_total_hits": False, "_source": False}
    if asked.explain:
        made["explain"] = True
    if asked.text_of is not None:
        made["fields"] = [asked.text_of]
    if asked.rescore:
        made["rescore"] = asked.rescore
    return made


def without_standard(search: Mapping[str, Any]) -> dict[str, Any]:
    """The search with a query in place of a `standard` retriever.

    One that the upstream is to refuse stays as it is.
    """
    values = search.get("retriever", {}).get(STANDARD)
    if not isinstance(values, Mapping) or not set(values) <= _OF_STANDARD:
        return dict(search)
    made = {name: value for name, value in search.items() if name != "retriever"}
    made |= {name: values[name] for name in _BESIDE_QUERY if name in values}
    if "sort" in values:
        made["track_scores"] = True
    query, filters = values.get("query", MATCH_ALL), listed(values.get("filter"))
    made["query"] = {"bool": {"must": [query], "filter": filters}} if filters else query
    return made


def without_retriever(search: Mapping[str, Any]) -> dict[str, Any]:
    """A search with a query, or a `knn` section, in place of a retriever that is one of these.

    One that an Elasticsearch with retrievers would refuse stays as it is.
    """
    retriever = search["retriever"]
    if any(name in search for name in INSTEAD) or not isinstance(retriever, Mapping):
        return dict(search)
    match retriever:
        case {"standard": {**values}} if set(values) <= _OF_LONE_STANDARD and len(retriever) == 1:
            above: dict[str, Any] = {name: values[name] for name in _NOT_BELOW if name in values}
            below = {name: one for name, one in values.items() if name not in _NOT_BELOW}
            made = {**without_standard({**search, "retriever": {STANDARD: below}}), **above}
            if "track_scores" not in search:
                made.pop("track_scores", None)
            return made
        case {"knn": {**values}} if len(retriever) == 1:
            made = {name: one for name, one in search.items() if name != "retriever"}
            made["knn"] = {name: one for name, one in values.items() if name != "min_score"}
            return made | {name: one for name, one in values.items() if name == "min_score"}
    return dict(search)


def with_places(search: Mapping[str, Any]) -> dict[str, Any]:
    """The search with the place of each hit as its last sort value; needs a point in time."""
    if "retriever" in search or "rescore" in search:  # which take no order
        return dict(search)
    order = listed(search.get("sort")) or ["_score"]
    return {**search, "sort": [*order, "_shard_doc"]}


def read_ranking(
    leaf: Leaf, asked: Asked, answer: Mapping[str, Any], *, has_places: bool
) -> Ranking:
    """What the upstream found for a leaf."""
    documents, explanations, texts = [], {}, {}
    for rank, hit in enumerate(answer["hits"]["hits"]):
        key = (hit["_index"], hit["_id"])
        score = hit.get("_score")
        place = hit["sort"][-1] if has_places and "sort" in hit else rank
        documents.append(Scored(key, math.nan if score is None else float(score), place))
        if "_explanation" in hit:
            explanations[key] = hit["_explanation"]
        if asked.text_of is not None and (text := text_of(hit, asked.text_of)) is not None:
            texts[key] = text
    return Ranking(documents, _matches(leaf, asked, documents), explanations, texts)


def text_of(hit: Mapping[str, Any], name: str) -> str | None:
    """The first value of a field of a hit, as text."""
    values = hit.get("fields", {}).get(name)
    if not values or values[0] is None:
        return None
    first = values[0]
    return str(first).lower() if isinstance(first, bool) else str(first)


def _matches(leaf: Leaf, asked: Asked, documents: Sequence[Scored]) -> Query:
    """A query for all that a leaf matches: of a vector search, what it found."""
    if leaf.name != STANDARD:
        return named(among([one.key for one in documents]), leaf.label)
    filters = filters_of(leaf, asked)
    query: Query = leaf.values.get("query", MATCH_ALL)
    if filters:  # which narrow searches by meaning in the query; it does not narrow its own
        query = {"bool": {"should": [query], "minimum_should_match": 1, "filter": filters}}
    return named(query, leaf.label)


# --- queries for documents that are known


def named(query: Query, name: str | None) -> Query:
    """The query under a name that `matched_queries` of its hits show."""
    return query if name is None else {"bool": {"should": [query], "_name": name}}


def among(keys: Sequence[Key]) -> Query:
    """A query for these documents."""
    by_index: dict[str, list[str]] = {}
    for index, identifier in keys:
        by_index.setdefault(index, []).append(identifier)
    clauses = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": ids}}]}}
        for index, ids in by_index.items()
    ]
    return clauses[0] if len(clauses) == 1 else any_of(clauses)


def any_of(queries: Sequence[Query]) -> Query:
    """A query for what any of them matches."""
    if not queries:
        return MATCH_NONE
    return {"bool": {"should": list(queries)}} if len(queries) > 1 else queries[0]


def ranked(documents: Sequence[Scored]) -> Query:
    """A query that gives these documents their scores, above anything that scores 0."""
    by_index: dict[str, list[Query]] = {}
    for one in documents:
        clause = {"filter": {"ids": {"values": [one.key[1]]}}, "boost": max(one.score, LEAST_SCORE)}
        by_index.setdefault(one.key[0], []).append({"constant_score": clause})
    return any_of(
        [
            {
                "bool": {
                    "filter": [{"term": {"_index": index}}],
                    "should": clauses,
                    "minimum_should_match": 1,
                }
            }
            for index, clauses in by_index.items()
        ]
    )
