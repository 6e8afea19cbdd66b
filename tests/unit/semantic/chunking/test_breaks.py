"""Words and sentences end where Java's ICU4J ends them, which recorded/breaks.jsonl tells."""

from __future__ import annotations

import json
from itertools import chain, product
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.breaks import sentence_ends, word_breaks
from proxy.semantic.chunking.offsets import Utf16Text
from proxy.semantic.chunking.plainwords import is_plain, plain_break_after, plain_word_ends
from proxy.semantic.chunking.words import Words

LINES: Final = (Path(__file__).parent / "recorded/breaks.jsonl").read_text().splitlines()
RECORDED: Final = [json.loads(line) for line in LINES]  # orjson refuses lone surrogates
# A character of each kind that plain text has, as far as word breaks tell kinds apart.
PLAIN: Final = "a_1é.,'\u2019:·; \n\r\t\"-…©\x85"


def icu_words(text: str) -> tuple[list[int], list[int]]:
    """The ends of segments, and of words, in one block."""
    batches = list(word_breaks(text))
    segments = chain.from_iterable(ends for ends, _ in batches)
    return list(segments), list(chain.from_iterable(words for _, words in batches))


@pytest.mark.parametrize("recorded", RECORDED, ids=range(len(RECORDED)))
def test_breaks_are_those_of_java(recorded):
    text = Utf16Text(recorded["text"])
    segments, words = icu_words(text.text)
    assert [text.units(end) for end in segments] == recorded["segments"]
    assert [text.units(end) for end in words] == recorded["words"]
    assert [text.units(end) for end in Words(text.text).ends] == recorded["words"]
    assert [text.units(end) for end in sentence_ends(text.text)] == recorded["sentences"]


def assert_plain_words_are_those_of_icu(text: str) -> None:
    assert is_plain(text)
    segments, words = icu_words(text)
    assert list(plain_word_ends(text, 0, len(text))) == words
    for start, end in zip([0, *segments], segments, strict=False):
        if end not in words:
            assert plain_break_after(text, start) == end


def test_plain_words_are_those_of_icu_for_all_short_texts():
    for length in (1, 2, 3):
        for characters in product(PLAIN, repeat=length):
            assert_plain_words_are_those_of_icu("".join(characters))


def test_plain_words_are_those_of_icu_for_all_characters():
    plain = [character for character in map(chr, range(0x2200)) if is_plain(character)]
    assert len(plain) == 400
    for character in plain:
        for before, after in product("a1_ ", repeat=2):
            assert_plain_words_are_those_of_icu(before + character + after)


@given(st.text(PLAIN, max_size=40))
def test_plain_words_are_those_of_icu(text):
    assert_plain_words_are_those_of_icu(text)


@pytest.mark.parametrize(
    "character", ["\xad", "\u0301", "\u200d", "א", "カ", "漢", "ไ", "👍", "\u202f", "\u3000", "Ж"]
)
def test_what_combines_with_others_is_not_plain(character):
    assert not is_plain(f"a {character} b")


@pytest.mark.parametrize("line", ["Some words. ", "Une déjà-vu. ", "한국어 😀 문장. ", "漢字。"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_blocks_do_not_show(line, ending):
    """A long text, read in blocks, has the breaks of its parts."""
    times = 6000
    part = line + ending + "Word\n"
    text = part * times
    ends, words = icu_words(part)
    sentences = list(sentence_ends(part))
    starts = range(0, len(text), len(part))
    assert Words(text).ends == [start + end for start in starts for end in words]
    assert list(sentence_ends(text)) == [start + end for start in starts for end in sentences]
    assert ends[-1] == len(part)


def test_a_text_without_places_to_cut_is_one_block():
    assert Words("漢" * 5000).ends[-1] == 5000
    assert Words("a" * 5000).ends == [5000]
    assert list(sentence_ends("a" * 100_000)) == [100_000]
