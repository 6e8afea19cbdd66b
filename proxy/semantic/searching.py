"""The bodies of searches: every place where a query may stand is rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.clauses import Clause, any_of
from proxy.semantic.innerhits import with_sections
from proxy.semantic.prefilters import Scope, each, listed
from proxy.semantic.queries import LEAST_K, Rewriter
from proxy.semantic.registry import Target

_DEFAULT_SIZE: Final = 10
_MOST_CANDIDATES: Final = 10_000
# What a `knn` query takes; a section takes `inner_hits`, too.
_OF_QUERY: Final = {
    *("field", "query_vector", "query_vector_builder", "k", "num_candidates", "filter"),
    *("similarity", "rescore_vector", "visit_percentage", "boost", "_name"),
}
_AGGREGATIONS: Final = ("aggs", "aggregations")


def scope_of(size: Any) -> Scope:
    """What holds for the queries of a search for so many hits."""
    wanted = size if isinstance(size, int) and size >= 0 else _DEFAULT_SIZE
    return Scope(max(wanted, LEAST_K))


def rewritten(body: Mapping[str, Any], rewriter: Rewriter, size: Any = None) -> dict[str, Any]:
    """A search's body, or what has a query in such places; `size` goes before that of the body.

    Raises: ProxyError for what Elasticsearch refuses itself.
    """
    scope = scope_of(body.get("size") if size is None else size)
    made = dict(body)
    for name in ("query", "post_filter", "index_filter"):
        if name in body:
            made[name] = rewriter.query(body[name], scope)
    if body.get("knn") is not None:
        made |= _knn_sections(body["knn"], made, rewriter, scope)
        if made["knn"] is None:
            del made["knn"]
    if "rescore" in body:
        made["rescore"] = each(body["rescore"], lambda one: _rescore(one, rewriter, scope))
    for name in _AGGREGATIONS:
        if name in body:
            made[name] = _aggregations(body[name], rewriter, scope)
    if "retriever" in body:
        made["retriever"] = _retriever(body["retriever"], rewriter, scope)
    made = with_sections(made, lambda one: _shown(one.body, rewriter, scope))
    return _shown(made, rewriter, scope)


def _shown(section: Mapping[str, Any], rewriter: Rewriter, scope: Scope) -> dict[str, Any]:
    """A search, or a part that asks for hits within others, with what it shows of hits rewritten.

    Patterns do not stand for fields of ours, whose values could not be shown in that way.
    """
    made = dict(section)
    for name in ("docvalue_fields", "fields"):
        if isinstance(section.get(name), list):
            entries = section[name]
            made[name] = [one for entry in entries for one in _named(name, entry, rewriter)]
    if "highlight" in section:
        made["highlight"] = with_highlight_queries(
            section["highlight"], lambda query: rewriter.query(query, scope)
        )
    return made


def _knn_sections(
    value: Any, made: Mapping[str, Any], rewriter: Rewriter, scope: Scope
) -> dict[str, Any]:
    """The top-level `knn` sections, and the query beside them that finds what they cannot."""
    sections: list[Any] = []
    queries: list[Any] = []
    for one in listed(value):
        found = _section(one, rewriter, scope)
        if found is None:
            queries.append(rewriter.query({"knn": one}, scope.alone()))
        else:
            sections.extend(found)
    if not queries:
        return {"knn": sections if isinstance(value, list) or len(sections) > 1 else sections[0]}
    if "query" in made:
        queries.insert(0, made["query"])
    return {"knn": sections or None, "query": any_of([Clause(one) for one in queries])}


def _section(section: Any, rewriter: Rewriter, scope: Scope) -> list[Any] | None:
    """What a `knn` section becomes: one on a semantic field becomes one on its vectors.

    None where that is to be a query: what a section finds among chunks is looked up in all indices,
    and those without such chunks would fail.
    """
    if not isinstance(section, Mapping):
        return [section]
    found = rewriter.nearest(section, scope.for_section())
    for one in found:
        if one.problem is not None:
            raise IllegalArgument(one.problem)
    everywhere = all(_is_everywhere(one.path, rewriter.target) for one in found)
    if not found or (not everywhere and _is_sound(section)):
        return None
    own = {name: section[name] for name in ("boost", "_name") if name in section}
    made = []
    for one in found:
        knn = {**one.knn, **own}
        if one.where is not None:
            knn["filter"] = [*listed(knn.get("filter")), one.where]
        if one.path is not None and isinstance(hits := knn.get("inner_hits"), Mapping):
            knn["inner_hits"] = {"name": f"{one.path}.{layout.NATIVE_CHUNKS}", **hits}
        made.append(knn)
    return made


def _is_sound(section: Mapping[str, Any]) -> bool:
    """Whether a query can say it, too; the upstream refuses most sections of which none can."""
    k, boost = section.get("k", 1), section.get("boost", 1)
    looked_at = section.get("num_candidates", _MOST_CANDIDATES)
    if not all(isinstance(one, int | float) for one in (k, boost, looked_at)):
        return False
    return set(section) <= _OF_QUERY and 0 < k <= looked_at <= _MOST_CANDIDATES and boost >= 0


def _is_everywhere(path: str | None, target: Target) -> bool:
    """Whether a vector search is none among chunks, or all indices have those of the field."""
    return path is None or (
        not target.others and all(path in fields for fields in target.fields.values())
    )


def _rescore(value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    query = value.get("query") if isinstance(value, Mapping) else None
    if not isinstance(query, Mapping) or "rescore_query" not in query:
        return value
    made = rewriter.query(query["rescore_query"], scope)
    return {**value, "query": {**query, "rescore_query": made}}


def _named(name: str, entry: Any, rewriter: Rewriter) -> list[Any]:
    """The entries for an entry: where the upstream would fail at fields of ours, one by one."""
    pattern = entry.get("field") if isinstance(entry, Mapping) else entry
    fails = name == "docvalue_fields" or (isinstance(entry, Mapping) and "format" in entry)
    if not fails or not isinstance(pattern, str):
        return [entry]
    if (names := rewriter.names_of(pattern)) is None:
        return [entry]
    return [{**entry, "field": one} if isinstance(entry, Mapping) else one for one in names]


def _aggregations(value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _aggregation(one, rewriter, scope) for name, one in value.items()}


def _aggregation(value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    if "filter" in value:
        made["filter"] = rewriter.query(value["filter"], scope)
    for name in ("filters", "adjacency_matrix"):
        filters = value.get(name)
        if isinstance(filters, Mapping) and "filters" in filters:
            made[name] = {**filters, "filters": _filters(filters["filters"], rewriter, scope)}
    background = value.get("significant_text", value.get("significant_terms"))
    if isinstance(background, Mapping) and "background_filter" in background:
        name = "significant_text" if "significant_text" in value else "significant_terms"
        query = rewriter.query(background["background_filter"], scope)
        made[name] = {**background, "background_filter": query}
    for name in _AGGREGATIONS:
        if name in value:
            made[name] = _aggregations(value[name], rewriter, scope)
    return made


def _filters(value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    if isinstance(value, Mapping):
        return {name: rewriter.query(one, scope) for name, one in value.items()}
    return each(value, lambda one: rewriter.query(one, scope))


def _retriever(value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    """A tree of retrievers with its leaves rewritten."""
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for name, one in value.items():
        if name == "knn" and isinstance(one, Mapping):
            made |= _of_vectors(one, rewriter, scope)
        else:
            made[name] = _one_retriever(name, one, rewriter, scope)
    return made


def _of_vectors(value: Mapping[str, Any], rewriter: Rewriter, scope: Scope) -> dict[str, Any]:
    """A `knn` retriever, or the one with a query that stands for it."""
    beside = {name: value[name] for name in ("min_score",) if name in value}
    knn = {name: one for name, one in value.items() if name not in beside}
    found = _section(knn, rewriter, scope)
    if found is not None and len(found) == 1:
        return {"knn": {**found[0], **beside}}
    return {"standard": {"query": rewriter.query({"knn": knn}, scope.alone()), **beside}}


def _one_retriever(name: str, value: Any, rewriter: Rewriter, scope: Scope) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    filters = listed(value.get("filter"))
    if filters:
        made["filter"] = each(value["filter"], lambda one: rewriter.query(one, scope))
    if name == "standard":
        inner = scope.within({"filter": filters}, rewriter.is_nested)
        if "query" in value:
            made["query"] = rewriter.query(value["query"], inner)
        return made
    window = value.get("rank_window_size", _DEFAULT_SIZE)
    below = replace(scope, k=scope_of(window).k)
    if "retriever" in value:
        made["retriever"] = _retriever(value["retriever"], rewriter, below)
    if isinstance(value.get("retrievers"), list):
        made["retrievers"] = [
            {**one, "retriever": _retriever(one["retriever"], rewriter, below)}
            if isinstance(one, Mapping) and "retriever" in one
            else _retriever(one, rewriter, below)
            for one in value["retrievers"]
        ]
    if "rescore" in value:
        made["rescore"] = each(value["rescore"], lambda one: _rescore(one, rewriter, below))
    return made


def with_highlight_queries(value: Any, change: Any) -> Any:
    """A `highlight` with `change` done to each of its queries."""
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    if "highlight_query" in value:
        made["highlight_query"] = change(value["highlight_query"])
    if "fields" in value:
        made["fields"] = each(value["fields"], lambda one: _highlighted(one, change))
    return made


def _highlighted(fields: Any, change: Any) -> Any:
    if not isinstance(fields, Mapping):
        return fields
    return {name: with_highlight_queries(options, change) for name, options in fields.items()}
