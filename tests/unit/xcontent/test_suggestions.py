"""Suggestions for misspelt names."""

from __future__ import annotations

import pytest

from proxy.xcontent.suggestions import did_you_mean
from tests.support.samples import at_most

KNOWN = ("input", "input_type", "query", "timeout", "top_n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("imput", " did you mean any of [input, timeout]?"),
        ("Input", " did you mean [input]?"),
        ("inputs", " did you mean [input]?"),
        ("input_typ", " did you mean any of [input_type, input]?"),
        ("quer", " did you mean [query]?"),
        ("timeot", " did you mean [timeout]?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_names_what_is_similar_best_first(name, hint):
    assert did_you_mean(name, KNOWN) == hint


def test_half_is_not_enough():
    assert did_you_mean("ab", ["ax"]) == ""
    assert did_you_mean("abc", ["abx"]) == " did you mean [abx]?"


def test_equally_near_names_are_sorted():
    assert did_you_mean("bat", ["hat", "cat"]) == " did you mean any of [cat, hat]?"


def test_a_very_long_name_costs_nothing():
    with at_most(1):
        assert did_you_mean("a" * 1_000_000, KNOWN) == ""
