"""What `filter_path` selects of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.xcontent import filterpath
from proxy.xcontent.filterpath import filter_paths
from tests.support.samples import at_most, json_objects

SAMPLE = {
    "error": {"root_cause": [{"type": "t", "reason": "r"}], "type": "t", "reason": "r"},
    "status": 400,
}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ("status", {"status": 400}),
        ("error.type", {"error": {"type": "t"}}),
        ("error.root_cause.type", {"error": {"root_cause": [{"type": "t"}]}}),
        ("error.*", {"error": SAMPLE["error"]}),
        ("*.type", {"error": {"type": "t"}}),
        ("**.type", {"error": {"root_cause": [{"type": "t"}], "type": "t"}}),
        ("**", SAMPLE),
        ("*", SAMPLE),
        ("sta*", {"status": 400}),
        ("*a*u*", {"status": 400}),
        ("status,error.reason", {"error": {"reason": "r"}, "status": 400}),
        (" status , ", {"status": 400}),
        ("-error", {"status": 400}),
        ("-**.reason", {"error": {"root_cause": [{"type": "t"}], "type": "t"}, "status": 400}),
        ("-error.root_cause.*", {"error": {"type": "t", "reason": "r"}, "status": 400}),
        ("-*", {}),
        ("error,-error.root_cause", {"error": {"type": "t", "reason": "r"}}),
        ("nothing", {}),
        ("error.nothing", {}),
        ("status.nothing", {}),
        ("Status", {}),
        ("stat?s", {}),
    ],
)
def test_keeps_what_is_named(filters, kept):
    assert filter_paths(SAMPLE, filters) == kept


def test_only_what_an_exclusion_empties_goes_with_it():
    value = {"a": {}, "b": [], "c": [{"x": 1}, {"x": 1, "y": None}], "d": {"e": {"x": 1}}}
    assert filter_paths(value, "-**.x") == {"a": {}, "b": [], "c": [{"y": None}]}


def test_an_escaped_point_belongs_to_the_name():
    value = {"rate_limit.requests_per_minute": {"type": "int"}, "rate_limit": 1}
    kept = {"rate_limit.requests_per_minute": {"type": "int"}}
    assert filter_paths(value, r"rate_limit\.requests_per_minute") == kept


def test_filters_the_elements_of_lists():
    services = [{"service": "a", "name": "A"}, {"service": "b"}]
    assert filter_paths(services, "service") == [{"service": "a"}, {"service": "b"}]
    assert filter_paths(services, "name") == [{"name": "A"}]
    assert filter_paths(services, "x") == {}


def test_empty_objects_and_lists_are_kept_when_they_are_named():
    assert filter_paths({"a": {}, "b": []}, "a,b") == {"a": {}, "b": []}


@given(json_objects, st.text("ab.*-,\\", max_size=12))
def test_any_filter_keeps_a_part_of_the_value(value, filters):
    kept = filter_paths(value, filters)
    assert isinstance(kept, dict)
    if "-" not in filters:
        assert set(kept) <= set(value)


def test_many_double_stars_take_no_longer_than_one():
    value = {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}
    with at_most(1):
        filter_paths(value, ".".join(["**"] * 100) + ".zz")


def test_a_long_filter_is_no_reason_to_fail():
    assert filter_paths(SAMPLE, ".".join(["**"] * 2000)) in (SAMPLE, {})


def test_patterns_of_callers_are_not_kept_for_ever():
    assert filterpath._wildcard.cache_parameters()["maxsize"] is not None
