"""The strategy `word`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.word import Counted, word_spans
from proxy.semantic.chunking.words import Words
from tests.unit.semantic.chunking.texts import texts


def cut(text: str, size: int, overlap: int) -> list[str]:
    return [text[slice(*one.span)] for one in word_spans(text, size, overlap)]


@given(texts(), st.integers(1, 30), st.data())
def test_spans_are_those_of_the_step_by_step_account(text, size, data):
    overlap = data.draw(st.integers(0, size // 2))
    assert word_spans(text, size, overlap) == stepped(text, size, overlap)


def stepped(text: str, size: int, overlap: int) -> list[Counted]:
    """How Elasticsearch describes it: a window that is marked while words are counted."""
    found = []
    window = following = count = since_mark = 0
    for end in Words(text).ends:
        count += 1
        since_mark += 1
        if count >= size:
            found.append(Counted((window, end), count))
            count = overlap
            following = end if overlap == 0 else following
            window = following
        if since_mark == size - overlap:
            following, since_mark = end, 0
    if count > overlap or not found:
        found.append(Counted((window, len(text)), count))
    return found


def test_each_span_repeats_the_last_words_of_the_one_before():
    assert cut("a b c d e f", 4, 2) == ["a b c d", " c d e f"]
    assert cut("a b c d e f g", 4, 2) == ["a b c d", " c d e f", " e f g"]


def test_what_follows_the_last_full_span_is_left_out_without_a_word_in_it():
    assert cut("a b c d  ...", 2, 0) == ["a b", " c d"]


@pytest.mark.parametrize("text", ["", " ", "one two"])
def test_there_is_always_a_span(text: str):
    assert cut(text, 10, 2) == [text]
