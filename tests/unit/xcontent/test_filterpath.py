"""What `filter_path` selects of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument
from proxy.xcontent.filterpath import MAX_PATHS, matches, parse_filter
from tests.support.samples import at_most, json_objects


def filter_paths(value, filters):
    return parse_filter(filters).apply(value)


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


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*", "xaby", True),
        ("a*b*c", "abxc", True),
        ("a*bc*c", "abc", False),
        ("*\n*", "a\nb", True),
    ],
)
def test_each_part_of_a_pattern_stands_behind_the_one_before(pattern, name, fits):
    assert matches(pattern, name) is fits


def test_a_pattern_of_many_stars_takes_time_in_proportion_to_the_name():
    value = {"a" * 1_000_000: 1}
    with at_most(2):
        assert filter_paths(value, "*a" * 30_000 + "*b") == {}


def test_names_without_wildcards_are_looked_up_and_not_compared():
    paths = [f"x{number}.y.z" for number in range(MAX_PATHS)]
    value = {f"k{number}": {"y": 1} for number in range(100_000)}
    with at_most(5):
        assert filter_paths(value, ",".join(paths)) == {}


def test_more_paths_than_allowed_are_refused():
    parse_filter(",".join(["a"] * MAX_PATHS))
    with pytest.raises(IllegalArgument, match=r"names \[101\] paths, more than the maximum"):
        parse_filter(",".join(["a"] * (MAX_PATHS + 1)))


def test_comparisons_are_bounded_for_an_answer(monkeypatch):
    most = 100_000
    monkeypatch.setattr("proxy.xcontent.filterpath.MAX_COMPARISONS", most)
    value = {str(number): 1 for number in range(most // MAX_PATHS)}
    filters = parse_filter(",".join(f"*{number}x" for number in range(MAX_PATHS)))
    filters.apply(value)
    value["one more"] = 1
    with pytest.raises(IllegalArgument, match=rf"more than \[{most}\] comparisons"):
        filters.apply(value)
