"""Whole patterns. Where they match is compared with Java in chunking/test_separators.py."""

from __future__ import annotations

import pytest

from proxy.ground.errors import PatternSyntax
from proxy.semantic.javaregex.translate import LONGEST, compile_java


def starts(pattern: str, text: str) -> list[int]:
    return [found.start() for found in compile_java(pattern).finditer(text)]


def test_anchors_are_those_of_lines():
    assert starts("^a", "a\na\r\na\x85a") == [0, 2, 5, 7]
    assert starts("b$", "b\nb\r\nb") == [0, 2, 5]
    assert starts(r"\Aa", "a\na") == [0]
    assert starts("(?-m)^a", "a\na") == [0]


def test_dots_match_no_line_ends_unless_asked_to():
    assert starts("a.", "ab a\n a\x85") == [0]
    assert starts("(?s)a.", "ab a\n") == [0, 3]


def test_flags_hold_to_the_end_of_their_group():
    assert starts("(?i)a", "aA") == [0, 1]
    assert starts("(?:(?i)a)b", "ab Ab AB") == [0, 3]
    assert starts("(?i:a)b", "Ab AB") == [0]


def test_letters_beyond_ascii_do_not_fold():
    assert starts("(?i)é", "éÉ") == [0]
    assert starts(r"\w", "aé") == [0]


def test_groups_can_be_referred_to():
    assert starts(r"(a|b)\1", "ab aa bb") == [3, 6]
    assert starts(r"(?<x>a)\k<x>", "a aa") == [2]
    assert compile_java("(a)(b)").groups == 0  # nobody asks for these


def test_quotations_and_quantifiers():
    assert starts(r"\Qa.b\E+", "axb a.bb") == [4]
    assert starts("a{2,3}", "a aa aaaa") == [2, 5]
    assert starts("a++b", "aab") == [0]
    assert starts(r"\R", "a\r\nb\n") == [1, 4]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (")", "Unmatched closing ')'"),
        ("(a", "Unclosed group"),
        ("*", "Dangling meta character '*'"),
        ("a{x", "Illegal repetition"),
        ("a{3,2}", "Illegal repetition range"),
        ("a{2}{3}", "A quantifier after another is not supported"),
        ("(?x)a", "Inline modifier [x] is not supported"),
        ("(?<1>a)", "Bad name of a group"),
        ("(?<x>a)(?<x>b)", "Bad name of a group"),
        (r"\k<x>", "Unknown group name"),
        (r"\1(a)", "Back reference is not supported here"),
        (r"\y", "Illegal/unsupported escape sequence"),
        ("(" * 40 + ")" * 40, "Groups nested too deeply"),
        ("a" * (LONGEST + 1), "Pattern is longer than"),
        ("(?:a{100}){100}", "Pattern is too large"),
        ("(?<=a*)\\", "Unescaped trailing backslash"),
    ],
)
def test_what_is_refused(pattern: str, reason: str):
    with pytest.raises(PatternSyntax) as caught:
        compile_java(pattern)
    assert caught.value.reason.startswith(reason)
