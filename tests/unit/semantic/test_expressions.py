"""Index expressions taken apart."""

from __future__ import annotations

import pytest

from proxy.semantic.expressions import (
    batches,
    in_path,
    is_no_index,
    local_part,
    parts_of,
    without_selector,
)


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a", ["a"]),
        ("a,b*,-c", ["a", "b*", "-c"]),
        ("a,,b,", ["a", "b"]),
        (",", []),
        ("<a-{now/d{yyyy.MM.dd|+12:00}}>,b", ["<a-{now/d{yyyy.MM.dd|+12:00}}>", "b"]),
        ("<a,b>", ["<a,b>"]),
        ("b,<a-{now/d}>", ["b", "<a-{now/d}>"]),
    ],
)
def test_parts(expression, parts):
    assert parts_of(expression) == parts


@pytest.mark.parametrize(
    ("expression", "local"),
    [
        ("a,b", "a,b"),
        ("far:a", ""),
        ("far:a,b", "b"),
        ("*:a,b*", "b*"),
        ("*:a", "_all"),
        ("*:a,far:b", ""),
        ("a::data", "a::data"),
        ("far:a::data,b::failures", "b::failures"),
        ("<a-{now/d{HH|+12:00}}>", "<a-{now/d{HH|+12:00}}>"),
    ],
)
def test_what_other_clusters_have_is_left_out(expression, local):
    assert local_part(expression) == local


def test_in_a_path():
    assert in_path("<a-{now/d}>,b*") == "%3Ca-%7Bnow%2Fd%7D%3E,b*"
    assert in_path("a/../b?c#d") == "a%2F..%2Fb%3Fc%23d"
    assert in_path("\udcff") == "%FF"
    assert in_path("ü") == "%C3%BC"


def test_halves_of_characters_are_in_no_path():
    assert in_path("a\ud800,b\udcff") == "a%EF%BF%BD,b%FF"


def test_selector():
    assert without_selector("a::data") == without_selector("a") == "a"


def test_paths_stay_short():
    names = [f"name-{number}" for number in range(1000)]
    joined = batches(names, 100)
    assert max(map(len, joined)) <= 100
    assert ",".join(joined).split(",") == names
    assert batches([], 100) == []


def test_some_names_lead_to_other_apis():
    assert is_no_index("_cat")
    assert not any(map(is_no_index, ("_all", "a", "a_b", "<_a>", "*")))
