from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.sourcefilters import (
    filter_in_body,
    filter_in_url,
    hides_source,
    url_with,
    without_container,
    without_matches,
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, {"excludes": ["xinf"]}),
        (True, {"excludes": ["xinf"]}),
        (False, False),
        ("a", {"includes": ["a"], "excludes": ["xinf"]}),
        (["a", "b*"], {"includes": ["a", "b*"], "excludes": ["xinf"]}),
        ({"includes": "a", "excludes": ["b"]}, {"includes": ["a"], "excludes": ["b", "xinf"]}),
        ({"include": ["a"], "exclude": "b"}, {"includes": ["a"], "excludes": ["b", "xinf"]}),
        ({"exclude_vectors": True}, {"excludes": ["xinf"], "exclude_vectors": True}),
        (3, 3),
        ({"include_vectors": True}, {"include_vectors": True, "excludes": ["xinf"]}),
        ({"includes": [1]}, {"includes": [1], "excludes": ["xinf"]}),
        ({"exclude_vectors": "false"}, {"exclude_vectors": "false", "excludes": ["xinf"]}),
    ],
)
def test_what_was_added_is_left_out(source: Any, expected: Any):
    assert without_container(source) == expected


@pytest.mark.parametrize(
    ("source", "shows"),
    [
        (None, False),
        ({"exclude_vectors": True}, False),
        ({"exclude_vectors": False}, True),
        ({"exclude_vectors": False, "includes": ["a"]}, False),
        ({"exclude_vectors": False, "includes": ["_inf*"]}, True),
        ({"exclude_vectors": False, "includes": ["_inference_fields.a"]}, True),
        ({"exclude_vectors": False, "excludes": ["_inference_fields"]}, False),
    ],
)
def test_inference_fields_are_shown_on_request(source: Any, shows: bool):
    found = filter_in_body(source)
    assert found is not None
    assert found.shows_inference_fields(by_name=False) is shows


@pytest.mark.parametrize(
    ("source", "shows"),
    [
        ("_inference_fields", True),
        (["a", "_inf*"], True),
        (["*"], True),
        (["a"], False),
        (["_inference_fields.a"], False),
        ({"includes": ["_inference_fields"], "exclude_vectors": True}, True),
        ({"includes": ["*"], "excludes": ["_inf*"]}, False),
        ({"excludes": ["a"]}, False),
        (False, False),
    ],
)
def test_inference_fields_are_shown_where_a_pattern_takes_them_in(source: Any, shows: bool):
    found = filter_in_body(source)
    assert found is not None
    assert found.shows_inference_fields(by_name=True) is shows
    assert not found.shows_inference_fields(by_name=False)


def test_what_was_added_is_taken_in_to_be_shown():
    found = filter_in_body({"includes": ["a"], "excludes": ["b"]})
    assert found is not None
    shown = found.for_upstream(shows=True, hides_vectors=True)
    assert shown == {"includes": ["a", "xinf"], "excludes": ["b"], "exclude_vectors": False}
    assert "exclude_vectors" not in found.for_upstream(shows=True, hides_vectors=False)


def test_patterns_that_would_reach_what_was_added_are_kept_apart():
    found = filter_in_body({"excludes": ["*_field", "title", "x*", "y*", "title.*"]})
    assert found is not None
    left, reaching = found.apart()
    assert reaching == ("*_field", "x*")
    assert left.excludes == ("title", "y*", "title.*")


def test_what_matches_is_left_out_of_a_source():
    source = {
        "a_field": 1,
        "o": {"b_field": [{"x": 1}], "c": {"d_field": 1}, "e.f_field.g": 1},
        "l": [{"h_field": 1}, {"i": 1}, 2],
        "_inference_fields": {"a_field": 1},
        "x.y": 1,
    }
    assert without_matches(source, ["*_field", "x"]) == {
        "o": {"c": {}},
        "l": [{}, {"i": 1}, 2],
        "_inference_fields": {"a_field": 1},
    }
    assert without_matches({"a": 1, "[b]": 2}, ["[b*"]) == {"a": 1}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {"_source_excludes": "xinf"}),
        ({"_source": "false", "a": "1"}, {"_source": "false", "a": "1"}),
        ({"_source": "true"}, {"_source_excludes": "xinf"}),
        ({"_source": "a,b"}, {"_source_excludes": "xinf", "_source_includes": "a,b"}),
        ({"_source_excludes": "a"}, {"_source_excludes": "a,xinf"}),
        (
            {"_source_exclude_vectors": "false"},
            {"_source_exclude_vectors": "false", "_source_excludes": "xinf"},
        ),
        ({"stored_fields": "a"}, {"stored_fields": "a"}),
        (
            {"stored_fields": "a,_source"},
            {"stored_fields": "a,_source", "_source_excludes": "xinf"},
        ),
    ],
)
def test_in_a_url(parameters: dict[str, str], expected: dict[str, str]):
    assert url_with(parameters) == expected


def test_a_url_that_shows_what_was_added_asks_for_its_vectors():
    shown = {"_source_exclude_vectors": "false"}
    assert url_with({}, shows=True) == shown
    assert url_with({"_source": "a"}, shows=True) == {**shown, "_source_includes": "a,xinf"}


def test_a_url_that_asks_for_vectors_shows_inference_fields():
    shown = filter_in_url({"_source_exclude_vectors": "false"})
    assert shown.shows_inference_fields(by_name=False)
    hidden = filter_in_url({"_source_exclude_vectors": "true"})
    assert not hidden.shows_inference_fields(by_name=True)


def test_stored_fields_hide_the_source_unless_it_is_asked_for():
    assert hides_source({"stored_fields": "_none_"}, {})
    assert hides_source({"stored_fields": []}, {})
    assert hides_source({}, {"stored_fields": ""})
    assert not hides_source({}, {})
    assert not hides_source({"stored_fields": ["_source"]}, {})
    assert not hides_source({"stored_fields": ["a"], "_source": True}, {})
    assert not hides_source({}, {})
