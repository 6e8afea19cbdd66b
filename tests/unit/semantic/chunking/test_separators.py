from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument, PatternSyntax
from proxy.inference.chunking import SEPARATORS, ChunkingSettings
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.offsets import Utf16Text
from proxy.semantic.chunking.separators import Budget, separator
from proxy.semantic.javaregex.translate import compile_java

LINES: Final = (Path(__file__).parent / "recorded/patterns.jsonl").read_text().splitlines()
RECORDED: Final = [json.loads(line) for line in LINES]
# What is refused here, but not by Java.
REFUSED_HERE: Final = (
    *(r"\G", r"\X", r"\N{", "(?x)", "javaLowerCase", r"\1", "&&]", "[&&"),
    *("}{", "(?i){", "(?s){", "(?-m){"),
)


def starts(pattern: str, text: str) -> list[int]:
    counted = Utf16Text(text)
    found = separator(pattern).starts(text, Budget(len(text)))
    return [counted.units(start) for start in found]


@pytest.mark.parametrize("recorded", RECORDED, ids=range(len(RECORDED)))
def test_patterns_match_where_java_matches_them(recorded):
    """Recorded with Java 25; patterns that it refuses are refused here."""
    pattern = recorded["pattern"]
    try:
        found = starts(pattern, recorded["text"])
    except PatternSyntax:
        assert "starts" not in recorded or any(part in pattern for part in REFUSED_HERE)
    else:
        assert found == recorded["starts"]


@pytest.mark.parametrize("pattern", [*SEPARATORS["plaintext"], *SEPARATORS["markdown"]])
@given(text=st.text("a \t\n\r\x85-=#\x0b", max_size=30))
def test_elasticsearch_s_own_separators_match_as_their_translations(pattern, text):
    compiled = compile_java(pattern)
    expected, at = [], 0
    while match := compiled.search(text, at):
        expected.append(match.start())
        at = match.end()
    assert starts(pattern, text) == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "Unclosed group near index 1\n("),
        ("a*b**", "Dangling meta character '*' near index 4\na*b**\n    ^"),
        ("{", "Illegal repetition near index 1\n{"),
        ("\\", "Unescaped trailing backslash near index 1\n\\"),
        (r"\p{Foo}", "Unknown character property name {Foo} near index 6\n\\p{Foo}\n      ^"),
        ("[a", "Unclosed character class near index 1\n[a\n ^"),
    ],
)
def test_refusals_read_like_those_of_java(pattern, reason):
    with pytest.raises(PatternSyntax) as raised:
        separator(pattern)
    assert raised.value.reason == reason
    assert raised.value.status == 400
    assert raised.value.type == "pattern_syntax_exception"


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:(?:a{1000}){1000}){1000}",
        "a{100000000}",
        "a{99999999999999999999}",
        "(" * 5000 + ")" * 5000,
        "[" * 5000 + "a" + "]" * 5000,
        "(?=a{1000}){1000}",
        "a|" * 5000,
    ],
)
def test_patterns_that_would_be_large_are_refused(pattern):
    with pytest.raises(PatternSyntax):
        compile_java(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(a|a)*[^ab]", r"(?:a|b)*[^abx]", r"((a|b)*)*(?=[^abx])", r"(?:(?:a*)*b*)*[^abx]"),
        *(r"(?:(.)*?(.)*?)*[^abx]\1", r"(?<=(?:a|b|ab)*y)z", r"(?:a?){30}a{30}[^abx]"),
    ],
)
def test_no_pattern_runs_without_bound(pattern):
    """It ends, with or without an error, in a few seconds of processor time."""
    settings = ChunkingSettings(
        strategy="recursive", max_chunk_size=10, sentence_overlap=None, separators=(pattern,)
    )
    text = ("ab" * 40 + "aaa " * 40) * 100
    chunker = chunker_for(settings)
    begun = time.thread_time()
    told = ""
    try:
        chunker.chunks(text)
    except IllegalArgument as error:
        told = error.reason
    assert time.thread_time() - begun < 5
    assert told in ("", f"[separators] pattern [{pattern}] takes too long to match the text")


@pytest.mark.parametrize("character", ["\n", " ", "-", "=", "#", "\r"])
def test_elasticsearch_s_own_separators_take_linear_time(character):
    text = character * 300_000
    begun = time.thread_time()
    for pattern in [*SEPARATORS["plaintext"], *SEPARATORS["markdown"]]:
        list(separator(pattern).starts(text, Budget(len(text))))
    assert time.thread_time() - begun < 3


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("(?i)chapter", "Chapter 1 cHAPTER 2 chapt", [0, 10]),
        (r"^\d+\.\s", "1. a\n2. b\r3. c x 4. d", [0, 5, 10]),
        (r"(?<=[.!?])\s+(?=\p{Lu})", "One. Two! three. Four", [4, 16]),
        (r"\R{2}", "a\r\nb\r\n\r\nc\n\nd", [4, 9]),
        (r"\Q***\E", "a***b", [1]),
        ("", "ab", [0, 1, 2]),
        ("。", "好。你😀。", [1, 5]),
        (r"(?<mark>[*_])\k<mark>", "a**b__c*_", [1, 4]),
    ],
)
def test_what_people_write(pattern, text, expected):
    assert starts(pattern, text) == expected
