"""Named sets of characters."""

from __future__ import annotations

import pytest
import regex

from proxy.semantic.javaregex.properties import PREDEFINED, named_set


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("Lower", "a", "Aé"),
        ("Punct", "!]`~", "a "),
        ("Space", "\x0b", "\xa0"),
        ("Lu", "AÉ", "a"),
        ("IsL", "aé", "1"),
        ("IsAlphabetic", "aé", "1"),
        ("IsWhite_Space", "\xa0", "a"),
        ("IsEmoji", "😀", "a"),
        ("IsGreek", "λ", "a"),
        ("InGreekAndCoptic", "λ", "a"),
        ("sc=Greek", "λ", "a"),
        ("SCRIPT=Greek", "λ", "a"),
        ("blk=GreekAndCoptic", "λ", "a"),
        ("gc=Lu", "A", "a"),
    ],
)
def test_sets_that_have_names(name: str, inside: str, outside: str):
    found = regex.compile(f"[{named_set(name)}]", regex.VERSION1)
    assert all(found.fullmatch(one) for one in inside)
    assert not any(found.fullmatch(one) for one in outside)


@pytest.mark.parametrize("name", ["", "Foo", "lower", "IsFoo", "InFoo", "x=Greek", "sc=a}", "gc=Q"])
def test_names_that_stand_for_nothing(name: str):
    assert named_set(name) is None


@pytest.mark.parametrize(("name", "outside"), [("d", "٣"), ("w", "é"), ("s", "\xa0")])
def test_predefined_sets_are_of_ascii(name: str, outside: str):
    assert not regex.fullmatch(f"[{PREDEFINED[name]}]", outside)
