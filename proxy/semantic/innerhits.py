"""Hits within hits, and in buckets: where a search asks for them, and where they are in answers.

Source: InnerHitBuilder, ExpandSearchPhase, TopHitsAggregationBuilder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.semantic.answers import hits_of
from proxy.semantic.highlights import Found, Shown, Within, sought_by, sought_in, taken_over
from proxy.semantic.plainhighlights import query_of
from proxy.semantic.prefilters import each

_CONTAINERS: Final = (dict, list)
_AGGREGATIONS: Final = ("aggs", "aggregations")
# Queries whose hits may have others within, by what these are called where nobody says so.
_JOINING: Final = {"nested": "path", "has_child": "type", "has_parent": "parent_type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The part of a search that asks for such hits."""

    body: Mapping[str, Any]
    name: str
    in_buckets: bool
    query: Any  # what finds them; None for the query of the whole search


Change = Callable[[Section], Mapping[str, Any]]


def with_sections(body: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """A search with `change` done to each such part of it."""
    made = dict(body)
    for name in ("query", "post_filter"):
        if name in body:
            made[name] = _in_query(body[name], change)
    if isinstance(collapse := body.get("collapse"), Mapping) and "inner_hits" in collapse:
        found = each(
            collapse["inner_hits"],
            lambda one: _changed(one, change, str(collapse.get("field"))),
        )
        made["collapse"] = {**collapse, "inner_hits": found}
    for name in _AGGREGATIONS:
        if name in body:
            made[name] = _in_aggregations(body[name], change)
    return made


def _in_query(value: Any, change: Change) -> Any:
    if isinstance(value, list):
        return [_in_query(one, change) for one in value] if _holds_queries(value) else value
    if not isinstance(value, dict):
        return value
    made = {
        name: _in_query(one, change) if isinstance(one, _CONTAINERS) else one
        for name, one in value.items()
    }
    for name, default in _JOINING.items():
        if name not in made:
            continue
        one = made[name]
        if isinstance(one, dict) and isinstance(one.get("inner_hits"), dict):
            found = _changed(one["inner_hits"], change, str(one.get(default)), one.get("query"))
            made[name] = {**one, "inner_hits": found}
    return made


def _holds_queries(values: list[Any]) -> bool:
    """Whether a list may hold queries; that of a vector does not."""
    return bool(values) and isinstance(values[0], _CONTAINERS)


def _in_aggregations(value: Any, change: Change) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _in_aggregation(name, one, change) for name, one in value.items()}


def _in_aggregation(name: str, value: Any, change: Change) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    if isinstance(hits := value.get("top_hits"), Mapping):
        made["top_hits"] = change(Section(body=hits, name=name, in_buckets=True, query=None))
    for below in _AGGREGATIONS:
        if below in value:
            made[below] = _in_aggregations(value[below], change)
    return made


def _changed(section: Any, change: Change, default: str, query: Any = None) -> Any:
    if not isinstance(section, Mapping):
        return section
    name = str(section.get("name", default))
    return change(Section(body=section, name=name, in_buckets=False, query=query))


def all_taken_over(
    body: Mapping[str, Any], by_path: Mapping[str, Found], indices: int
) -> tuple[dict[str, Any], Shown]:
    """A rewritten search without what its hits, and those within, are to show; see `taken_over`."""
    within: list[Within] = []

    def change(section: Section) -> Mapping[str, Any]:
        made = dict(section.body)
        sought = sought_by(body) if section.query is None else sought_in(section.query)
        query = query_of(body) if section.query is None else section.query
        shown = taken_over(made, by_path, indices, sought, query)
        if shown or shown.formats:
            where = Within(name=section.name, in_buckets=section.in_buckets, shown=shown)
            within.append(where)
        return made

    made = with_sections(body, change)
    shown = taken_over(made, by_path, indices, sought_by(body), query_of(body))
    shown.within = within
    for one in within:
        shown.formats |= one.shown.formats
    return made, shown


def hits_within(document: Any, where: Within) -> list[dict[str, Any]]:
    """The hits of that name in an answer."""
    if not where.in_buckets:
        return list(_inner(hits_of(document), where.name))
    if isinstance(document, Mapping) and isinstance(document.get("response"), Mapping):
        document = document["response"]  # of an asynchronous search
    found = document.get("aggregations") if isinstance(document, Mapping) else None
    return list(_in_buckets(found, where.name))


def _inner(hits: Iterable[Mapping[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for hit in hits:
        for key, one in (hit.get("inner_hits") or {}).items():
            below = hits_of(one)
            if key == name:
                yield from below
            yield from _inner(below, name)


def _in_buckets(value: Any, name: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for one in value:
            yield from _in_buckets(one, name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key.rpartition("#")[2] == name and isinstance(one, Mapping) and "hits" in one:
                yield from hits_of(one)
            else:
                yield from _in_buckets(one, name)
