"""Suggestions for misspelt names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


NAME = st.text("ab_", max_size=9)


@given(NAME, NAME)
def test_distances_are_those_of_the_whole_table(one, other):
    table = [[*range(len(other) + 1)]]
    for row, left in enumerate(one, 1):
        table.append([row])
        for column, right in enumerate(other):
            cheapest = min(table[row - 1][column + 1], table[row][column]) + 1
            table[row].append(min(cheapest, table[row - 1][column] + (left != right)))
    longest = max(len(one), len(other))
    is_near = longest > 0 and 2 * table[-1][-1] < longest
    assert did_you_mean(one, [other]) == (f" did you mean [{other}]?" if is_near else "")


def test_half_is_not_enough():
    assert did_you_mean("ab", ["ax"]) == ""
    assert did_you_mean("abc", ["abx"]) == " did you mean [abx]?"


def test_equally_near_names_are_sorted():
    assert did_you_mean("bat", ["hat", "cat"]) == " did you mean any of [cat, hat]?"


def test_a_very_long_name_costs_nothing():
    with at_most(1):
        assert did_you_mean("a" * 1_000_000, KNOWN) == ""
