"""The strategy `sentence`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.sentence import sentence_spans
from proxy.semantic.chunking.words import Words
from tests.unit.semantic.chunking.texts import texts

TEXT = "One two. Three four. Five six. Seven eight."


def cut(text: str, size: int, *, overlap: bool) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, size, overlap=overlap)]


def test_as_many_whole_sentences_as_fit():
    assert cut(TEXT, 5, overlap=False) == ["One two. Three four. ", "Five six. Seven eight."]


def test_with_overlap_a_span_begins_with_the_sentence_before():
    assert cut(TEXT, 5, overlap=True) == [
        "One two. Three four. ",
        "Three four. Five six. ",
        "Five six. Seven eight.",
    ]


def test_of_a_sentence_too_long_to_repeat_its_end_is():
    long = "a b c d e f g h. "
    assert cut(long + "I j k l. ", 10, overlap=True) == [long, "d e f g h. I j k l. "]


def test_a_sentence_that_is_too_long_is_split_by_words():
    pieces = cut("a b c d e f g h i j.", 4, overlap=False)
    assert pieces[0] == "a b c d"
    assert pieces[-1].endswith("j.")
    assert all(len(Words(piece).ends) <= 4 for piece in pieces)


@given(texts(), st.integers(2, 30), st.booleans())
def test_spans_cover_the_text(text: str, size: int, overlap: bool):
    spans = sentence_spans(text, size, overlap=overlap)
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(before[0] < after[0] <= before[1] for before, after in pairwise(spans))


@pytest.mark.parametrize("text", ["", " ", "One."])
def test_there_is_always_a_span(text: str):
    assert cut(text, 20, overlap=True) == [text]


def test_words_that_are_known_need_not_be_counted_again():
    known = Words(TEXT)
    assert sentence_spans(TEXT, 5, overlap=True, words=known) == sentence_spans(
        TEXT, 5, overlap=True
    )
