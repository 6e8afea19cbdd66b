"""What narrows a search by meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from proxy.semantic.prefilters import Scope, each, listed, named, pruned

TERM: Final = {"term": {"a": 1}}
OTHER: Final = {"term": {"b": 1}}
OURS: Final = {"semantic": {"field": "body", "query": "x"}}
NESTED: Final = {"nested": {"path": "p", "query": TERM}}


def is_ours(name: str, body: Mapping[str, Any]) -> bool:
    return name == "semantic"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (TERM, TERM),
        (OURS, None),
        (NESTED, None),
        (
            {"constant_score": {"filter": TERM, "boost": 2}},
            {"constant_score": {"filter": TERM, "boost": 2}},
        ),
        ({"constant_score": {"filter": OURS}}, None),
        ({"boosting": {"positive": TERM, "negative": OTHER}}, TERM),
        ({"dis_max": {"queries": [TERM, OURS]}}, {"dis_max": {"queries": [TERM]}}),
        ({"dis_max": {"queries": [OURS]}}, None),
        ({"bool": {"must": [OURS], "filter": TERM}}, {"bool": {"filter": [TERM]}}),
        ({"bool": {"must_not": OURS}}, None),
        ({"bool": {}}, None),
        ({"function_score": {}}, {"function_score": {}}),
        ("wrong", "wrong"),
    ],
)
def test_a_filter_has_no_nested_parts(query: Any, left: Any):
    assert pruned(query, is_ours) == left


@pytest.mark.parametrize(
    ("least", "left"),
    [
        (2, {"should": [TERM, OTHER], "minimum_should_match": 1}),
        (1, {"should": [TERM, OTHER], "minimum_should_match": 0}),
        ("2", {"should": [TERM, OTHER], "minimum_should_match": 1}),
        (-1, {"should": [TERM, OTHER], "minimum_should_match": 1}),
        (-2, {"should": [TERM, OTHER], "minimum_should_match": 0}),
        (-9, {"should": [TERM, OTHER], "minimum_should_match": 0}),
        ("100%", {"should": [TERM, OTHER], "minimum_should_match": 2}),
        ("75%", {"should": [TERM, OTHER], "minimum_should_match": 1}),
        ("50%", {"should": [TERM, OTHER], "minimum_should_match": 0}),
        ("-34%", {"should": [TERM, OTHER], "minimum_should_match": 1}),
        ("-20%", {"should": [TERM, OTHER], "minimum_should_match": 2}),
        ("-0%", {"should": [TERM, OTHER], "minimum_should_match": 0}),
        ("3<1", {"should": [TERM, OTHER], "minimum_should_match": 2}),
        ("2<75%", {"should": [TERM, OTHER], "minimum_should_match": 1}),
        (" 1 < -1  3<1 ", {"should": [TERM, OTHER], "minimum_should_match": 1}),
        ("1<1 2<3", {"should": [TERM, OTHER], "minimum_should_match": 2}),
        ("all", None),
        ("x<1", None),
        (1.5, None),
    ],
)
def test_clauses_that_are_dropped_count_as_if_they_had_matched(least: Any, left: Any):
    query = {"bool": {"should": [TERM, OTHER, OURS], "minimum_should_match": least}}
    assert pruned(query, is_ours) == (None if left is None else {"bool": left})


def test_all_clauses_keep_how_many_must_match():
    query = {"bool": {"should": [TERM, OTHER], "minimum_should_match": "50%"}}
    assert pruned(query, is_ours) == query


def test_clauses_around_a_search_are_its_filters():
    clauses = {"must": [OURS, TERM], "filter": OTHER, "must_not": TERM, "should": OTHER}
    scope = Scope(10, filters=(TERM,)).within(clauses, is_ours)
    assert scope.filters == (TERM, TERM, OTHER, {"bool": {"must_not": [TERM]}})
    assert scope.k == 10


def test_scopes_of_searches_that_nothing_narrows():
    scope = Scope(10, filters=(TERM,))
    assert scope.alone(inside=True) == Scope(10, inside=True)
    assert scope.for_section() == Scope(10, has_default_k=False)


@pytest.mark.parametrize("query", [None, [], {}, {"a": 1}, {"a": {}, "b": {}}])
def test_what_is_no_query_has_no_name(query: Any):
    assert named(query) == ("", {})


def test_places_of_one_or_several():
    assert (listed(None), listed(1), listed([1])) == ([], [1], [1])
    assert (each(1, str), each([1, 2], str)) == ("1", ["1", "2"])
