"""Words are counted as Elasticsearch's loop counts them, which is written out here."""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.semantic.chunking.breaks import sentence_ends, word_breaks
from proxy.semantic.chunking.words import Words
from tests.unit.semantic.chunking.texts import texts


def walked(text: str, start: int) -> list[tuple[int, bool]]:
    """The break before `start` and all after it, each with whether a word ends there."""
    batches = list(word_breaks(text))
    breaks = [0, *chain.from_iterable(ends for ends, _ in batches)]
    words = set(chain.from_iterable(words for _, words in batches))
    first = max(bisect_left(breaks, start) - 1, 0)
    return [(position, position in words) for position in breaks[first:]]


def counted(text: str, start: int, end: int) -> int:
    return sum(is_word for position, is_word in walked(text, start) if position <= end)


def skipped(text: str, start: int, words: int) -> int:
    steps = iter(walked(text, start))
    position, is_word = next(steps)
    count = int(is_word)
    if words == 0:
        return position
    while count < words:
        position, is_word = next(steps, (len(text), False))
        count += is_word
        if position == len(text):
            return position
    return next(steps, (len(text), False))[0]


@given(texts(), st.data())
def test_spans_are_counted_from_the_break_before_them(text, data):
    assume(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert Words(text).count(start, end) == counted(text, start, end)


@given(texts())
def test_sentences_are_counted_like_spans(text):
    words = Words(text)
    start = 0
    for end, count in words.counts(0, sentence_ends(text)):
        assert count == words.count(start, end)
        start = end


@given(texts(), st.integers(0, 12))
def test_words_are_skipped_from_the_break_before(text, words):
    for start in [0, *sentence_ends(text)][:-1]:
        assert Words(text).skip(start, words) == skipped(text, start, words)


@pytest.mark.parametrize(
    ("text", "start", "count"),
    [("One. Two", 5, 1), ("one\ntwo", 4, 2), ("你好。再见", 3, 2), ("one  two", 5, 2)],
)
def test_a_word_close_before_a_span_counts_with_it(text, start, count):
    assert Words(text).count(start, len(text)) == count
