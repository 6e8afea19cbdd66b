"""Character classes, as Java writes them and as they are matched here."""

from __future__ import annotations

import pytest
import regex

from proxy.ground.errors import PatternSyntax
from proxy.semantic.javaregex.classes import bracketed, either_case, escaped_set, literal
from proxy.semantic.javaregex.scanner import Scanner


def of(pattern: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    scanner = Scanner(pattern)
    assert scanner.takes("[")
    made = bracketed(scanner, ignore_case=ignore_case)
    assert scanner.ended
    return regex.compile(made, regex.VERSION1)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("[abc]", "abc", "d["),
        ("[^abc]", "d", "a"),
        ("[a-c]", "b", "-d"),
        ("[a-]", "a-", "b"),
        ("[]a]", "]a", "["),
        ("[a-c[x-z]]", "bx", "d"),
        ("[a-z&&[^m]]", "al", "mA"),
        ("[^a-z&&[m]]", "ab", "m"),
        (r"[\d\s]", "1 ", "a"),
        (r"[\D]", "a", "1"),
        (r"[\p{Lu}_]", "É_", "é"),
        (r"[\Q-]\E]", "-]", "Q"),
        (r"[\x41-\x43]", "B", "D"),
        ("[~|#]", "~|#", "a"),
    ],
)
def test_classes(pattern: str, inside: str, outside: str):
    found = of(pattern)
    assert all(found.fullmatch(one) for one in inside)
    assert not any(found.fullmatch(one) for one in outside)


@pytest.mark.parametrize("pattern", ["[a]", "[A]", "[a-c]", "[A-C]", "[^b-z]", r"[\Qa\E]", "[Y-b]"])
def test_case_does_not_count_for_ascii(pattern: str):
    found = of(pattern, ignore_case=True)
    assert found.fullmatch("a")
    assert found.fullmatch("A")
    assert not of("[é]", ignore_case=True).fullmatch("É")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[a", "Unclosed character class near index 1"),
        ("[c-a]", "Illegal character range"),
        ("[&&a]", "Bad class syntax"),
        ("[a&&]", "Bad class syntax"),
        (r"[\p{Foo}]", "Unknown character property name {Foo}"),
        (r"[\p{Lu", "Unclosed character family"),
        (r"[\Qa]", "Unclosed character class"),
        (r"[\k]", "Illegal/unsupported escape sequence"),
        ("[" * 30 + "a" + "]" * 30, "Classes nested too deeply"),
    ],
)
def test_classes_that_are_none(pattern: str, reason: str):
    with pytest.raises(PatternSyntax) as caught:
        of(pattern)
    assert caught.value.reason.startswith(reason)


def test_a_property_of_case_is_not_supported_where_case_does_not_count():
    with pytest.raises(PatternSyntax, match="where case does not count"):
        of(r"[\p{Lu}]", ignore_case=True)


def test_other_escapes_than_sets_take_nothing():
    scanner = Scanner("n")
    assert escaped_set(scanner, ignore_case=False) is None
    assert scanner.at == 0


@pytest.mark.parametrize("character", ["a", "^", "]", "\n", "é", "😀"])
def test_a_literal_means_itself_wherever_it_stands(character: str):
    made = literal(ord(character))
    assert regex.fullmatch(made, character, regex.VERSION1)
    assert regex.fullmatch(f"[{made}]", character, regex.VERSION1)


def test_only_letters_of_ascii_have_two_cases():
    assert either_case(ord("a")) == "aA"
    assert either_case(ord("é")) == literal(ord("é"))
