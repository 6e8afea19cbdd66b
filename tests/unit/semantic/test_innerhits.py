"""Hits within hits and in buckets."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.highlights import Shown, Within
from proxy.semantic.innerhits import Section, all_taken_over, hits_within, with_sections
from tests.unit.semantic.targets import semantic_field

TERM: Final = {"term": {"a": 1}}


def sections(body: Any) -> list[Section]:
    found: list[Section] = []

    def note(section: Section) -> Any:
        found.append(section)
        return section.body

    assert with_sections(body, note) == body
    return found


@pytest.mark.parametrize(
    ("body", "name", "in_buckets", "query"),
    [
        ({"query": {"nested": {"path": "p", "query": TERM, "inner_hits": {}}}}, "p", False, TERM),
        (
            {"query": {"nested": {"path": "p", "query": TERM, "inner_hits": {"name": "n"}}}},
            "n",
            False,
            TERM,
        ),
        (
            {"query": {"bool": {"must": [{"has_child": {"type": "t", "inner_hits": {}}}]}}},
            "t",
            False,
            None,
        ),
        ({"post_filter": {"has_parent": {"parent_type": "q", "inner_hits": {}}}}, "q", False, None),
        ({"collapse": {"field": "f", "inner_hits": {}}}, "f", False, None),
        ({"collapse": {"field": "f", "inner_hits": [{"name": "n"}]}}, "n", False, None),
        ({"aggs": {"x": {"aggregations": {"top": {"top_hits": {}}}}}}, "top", True, None),
    ],
)
def test_where_a_search_asks_for_them(body: Any, name: str, in_buckets: bool, query: Any):
    (found,) = sections(body)
    assert (found.name, found.in_buckets, found.query) == (name, in_buckets, query)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": "x", "aggs": "x", "collapse": "x"},
        {"query": {"nested": {"inner_hits": 1}}, "aggs": {"x": {"top_hits": 1}, "y": 1}},
        {"collapse": {"field": "f"}},
    ],
)
def test_where_there_are_none(body: Any):
    assert sections(body) == []


def test_what_they_are_to_show_is_taken_out():
    highlight: dict[str, Any] = {"highlight": {"fields": {"body": {}}}}
    body = {"query": {"match_all": {}}, "aggs": {"top": {"top_hits": {"size": 1, **highlight}}}}
    made, shown = all_taken_over(body, {"body": {"a": semantic_field()}}, 1)
    assert made["aggs"] == {"top": {"top_hits": {"size": 1}}}
    (within,) = shown.within
    assert (within.name, within.in_buckets) == ("top", True)
    assert within.shown.highlights[0].name == "body"
    assert not shown.highlights


def within(name: str, *, in_buckets: bool) -> Within:
    return Within(name=name, in_buckets=in_buckets, shown=Shown())


def hits(*found: Any) -> dict[str, Any]:
    return {"hits": {"hits": list(found)}}


def test_they_are_found_in_hits_at_any_depth():
    inner = {"_id": "inner", "inner_hits": {"n": hits({"_id": "deep"})}}
    document = hits({"_id": "1", "inner_hits": {"n": hits(inner), "m": hits({"_id": "other"})}})
    found = hits_within(document, within("n", in_buckets=False))
    assert [one["_id"] for one in found] == ["inner", "deep"]
    assert hits_within(hits({"_id": "1"}), within("n", in_buckets=False)) == []


@pytest.mark.parametrize("key", ["top", "top_hits#top"])
def test_they_are_found_in_buckets(key: str):
    aggregations = {"x": {"buckets": [{key: hits({"_id": "1"})}, {"y": {key: hits({"_id": "2"})}}]}}
    document = {"aggregations": aggregations}
    for one in (document, {"response": document}):
        found = hits_within(one, within("top", in_buckets=True))
        assert [hit["_id"] for hit in found] == ["1", "2"]
