"""What narrows a vector search: the clauses that hold around it, without what cannot be a filter.

Elasticsearch hands every `must`, `filter` and `must_not` clause around a search by meaning to the
vector search itself. A filter that came after it would leave fewer than k documents.
Source: AutoPrefilteringScope, AutoPrefilteringUtils.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

# A part of `minimum_should_match` that holds for more clauses than it names, as in `2<75% 9<-3`.
_CONDITION: Final = re.compile(r"(\S+?)\s*<\s*(\S+)")
OCCURS: Final = ("must", "filter", "should", "must_not")

# Whether a query stands for a nested one: such a filter of a nested search finds nothing.
IsNested = Callable[[str, Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Scope:
    """What holds around a query."""

    k: int  # how many documents a vector search finds on each shard
    filters: tuple[Any, ...] = ()  # that they have to meet
    inside: bool = False  # whether the documents are the chunks themselves
    has_default_k: bool = True  # whether that is so for searches that do not say it, too

    def within(self, clauses: Mapping[str, Any], is_nested: IsNested) -> Scope:
        """That of the clauses of a bool."""
        required = [
            kept
            for occur in ("must", "filter")
            for one in listed(clauses.get(occur))
            if (kept := pruned(one, is_nested)) is not None
        ]
        excluded = [
            kept
            for one in listed(clauses.get("must_not"))
            if (kept := pruned(one, is_nested)) is not None
        ]
        if excluded:
            required.append({"bool": {"must_not": excluded}})
        return replace(self, filters=(*self.filters, *required))

    def for_section(self) -> Scope:
        """That of a search of its own: a `knn` section, whose k Elasticsearch knows itself."""
        return Scope(self.k, has_default_k=False)

    def alone(self, *, inside: bool = False) -> Scope:
        """That of a query which nothing else narrows."""
        return Scope(self.k, inside=inside)


def pruned(query: Any, is_nested: IsNested) -> Any:
    """A query as a filter, without its nested parts; None where nothing is left."""
    name, body = named(query)
    if name == "nested" or is_nested(name, body):
        return None
    if name == "bool":
        return _pruned_bool(body, is_nested)
    if name == "dis_max":
        queries = listed(body.get("queries"))
        kept = [one for each in queries if (one := pruned(each, is_nested)) is not None]
        return query if kept == queries else {"dis_max": {"queries": kept}} if kept else None
    inner = _INNER.get(name)
    if inner is None or inner not in body:
        return query
    left = pruned(body[inner], is_nested)
    return query if left == body[inner] and name != "boosting" else left


# The query that says what a compound one finds, where that is one query's business.
_INNER: Final = {
    "boosting": "positive",
    "constant_score": "filter",
    "function_score": "query",
    "script_score": "query",
    "pinned": "organic",
    "rule": "organic",
}


def _pruned_bool(body: Mapping[str, Any], is_nested: IsNested) -> Any:
    kept: dict[str, Any] = {}
    for occur in OCCURS:
        left = [
            one for each in listed(body.get(occur)) if (one := pruned(each, is_nested)) is not None
        ]
        if left:
            kept[occur] = left
    if not kept:
        return None
    least = body.get("minimum_should_match")
    if least is not None:
        number = len(listed(body.get("should")))
        dropped = number - len(kept.get("should", ()))
        if not dropped:
            kept["minimum_should_match"] = least
        elif (required := _required(least, number)) is not None:
            # As if those that were dropped had matched.
            kept["minimum_should_match"] = max(0, required - dropped)
        else:
            kept.pop("should", None)
    return {"bool": kept} if any(occur in kept for occur in OCCURS) else None


def _required(least: Any, number: int) -> int | None:
    """How many of so many clauses must match; None for what Elasticsearch refuses.

    Source: Queries.calculateMinShouldMatch.
    """
    found: int | None = number
    try:
        for bound, one in _CONDITION.findall(str(least)) or [("", str(least))]:
            if bound and number <= int(bound):
                return found
            found = _simply_required(one.strip(), number)
    except ValueError:
        return None
    return found


def _simply_required(least: str, number: int) -> int:
    """The same for a number or a percentage; negative ones say how many need not match."""
    value = int(least.removesuffix("%"))
    count = abs(number * value) // 100 if least.endswith("%") else abs(value)
    return max(0, number - count) if value < 0 else count


def named(query: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and body of a query; empty ones for what is none."""
    if isinstance(query, Mapping) and len(query) == 1:
        name, body = next(iter(query.items()))
        if isinstance(body, Mapping):
            return name, body
    return "", {}


def listed(value: Any) -> list[Any]:
    """The values of a place that holds one, several in a list, or none."""
    return value if isinstance(value, list) else [] if value is None else [value]


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """`change` done to every value of such a place."""
    return [change(one) for one in value] if isinstance(value, list) else change(value)
