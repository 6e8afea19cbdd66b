"""Plain words end where ICU ends them, which test_breaks.py compares with Java."""

from __future__ import annotations

from itertools import chain, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.breaks import sentence_ends, word_breaks
from proxy.semantic.chunking.plainwords import (
    is_plain,
    plain_break_after,
    plain_word_counts,
    plain_word_ends,
)
from proxy.semantic.chunking.words import Words

# A character of each kind that plain text has, as far as word breaks tell kinds apart.
PLAIN = "a_1é.,'\u2019:·; \n\r\t\"-…©\x85"


def assert_plain_words_are_those_of_icu(text: str) -> None:
    assert is_plain(text)
    batches = list(word_breaks(text))
    segments = list(chain.from_iterable(ends for ends, _ in batches))
    words = list(chain.from_iterable(found for _, found in batches))
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


def assert_sentences_are_counted_as_by_their_words(text: str) -> None:
    ends = list(sentence_ends(text))
    counts = plain_word_counts(text, ends)
    assert counts in (None, [count for _, count in Words(text).counts(0, ends)])


def test_sentences_are_counted_as_by_their_words_for_all_short_texts():
    for length in (1, 2, 3, 4):
        for characters in product("aB1_.,'!:; \n", repeat=length):
            assert_sentences_are_counted_as_by_their_words("".join(characters))


@given(st.text("aB1.,'!:; \n\r\t-\x1c", max_size=60))
def test_sentences_are_counted_as_by_their_words(text):
    assert_sentences_are_counted_as_by_their_words(text)


def test_most_sentences_need_no_places_of_words():
    text = "It's 3.14, isn't it? Yes! No: e.g. well-known (or not). An end"
    assert plain_word_counts(text, list(sentence_ends(text))) == [4, 1, 6, 2]


@pytest.mark.parametrize("text", ["One.\nTwo.", "One.  Two.", "a_b", "déjà", "a" * 65537])
def test_some_sentences_need_places_of_words(text):
    assert plain_word_counts(text, list(sentence_ends(text))) is None
