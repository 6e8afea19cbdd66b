"""A pattern read from left to right, and escapes that stand for one character."""

from __future__ import annotations

import re

import pytest

from proxy.ground.errors import PatternSyntax
from proxy.semantic.javaregex.scanner import Scanner


def test_what_is_looked_at_stays_and_what_is_taken_does_not():
    scanner = Scanner("abc")
    assert (scanner.peek(), scanner.peek(9)) == ("a", "abc")
    assert scanner.take() == "a"
    assert not scanner.takes("c")
    assert scanner.takes("bc")
    assert scanner.ended
    assert scanner.peek() == ""


def test_what_does_not_come_takes_nothing():
    scanner = Scanner("ab}c")
    assert scanner.take_until("]") is None
    assert scanner.take_match(re.compile("b")) is None
    assert scanner.take_until("}") == "ab"
    assert scanner.peek() == "c"


@pytest.mark.parametrize(
    ("escape", "code"),
    [
        ("t", 0x09),
        ("e", 0x1B),
        ("07", 0o7),
        ("0377", 0o377),
        ("0400", 0o40),
        ("x41", 0x41),
        ("x{1F600}", 0x1F600),
        ("x{0000000041}", 0x41),
        ("u00e9", 0xE9),
        ("ud83d\\ude00", 0x1F600),
        ("ud83d", 0xD83D),
        ("ud83d\\u0041", 0xD83D),
        ("cA", 1),
        (".", 0x2E),
        ("é", 0xE9),
    ],
)
def test_escapes_of_one_character(escape: str, code: int):
    assert Scanner(escape).take_escaped_character() == code


@pytest.mark.parametrize("escape", ["", "d", "k", "1", "z"])
def test_escapes_of_another_meaning_take_nothing(escape: str):
    scanner = Scanner(escape)
    assert scanner.take_escaped_character() is None
    assert scanner.at == 0


@pytest.mark.parametrize(
    "escape", ["0", "09", "x4", "xg1", "x{", "x{}", "x{110000}", "u12", "ud83d\\u1", "c"]
)
def test_escapes_that_are_none(escape: str):
    with pytest.raises(PatternSyntax):
        Scanner(escape).take_escaped_character()


def test_the_end_is_told():
    with pytest.raises(PatternSyntax, match="near index 0"):
        Scanner("").take()


def test_failures_read_like_those_of_java():
    scanner = Scanner("abc")
    with pytest.raises(PatternSyntax) as caught:
        scanner.fail("Bad", 1)
    assert caught.value.reason == "Bad near index 1\nabc\n ^"
    with pytest.raises(PatternSyntax) as caught:
        scanner.fail("Bad", -1)
    assert caught.value.reason == "Bad\nabc"
