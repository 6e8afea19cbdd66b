"""The strategy `recursive`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.recursive import recursive_spans
from proxy.semantic.chunking.separators import separator
from tests.unit.semantic.chunking.texts import texts

TEXT = "# One\na b c\n# Two\nd e f\ng h i\n# Three\nj"


def cut(text: str, size: int, *separators: str) -> list[str]:
    spans = recursive_spans(text, size, [separator(one) for one in separators])
    return [text[start:end] for start, end in spans]


def test_a_text_that_fits_stays_whole():
    assert cut(TEXT, 100, "\n") == [TEXT]


def test_pieces_begin_with_their_separator_and_small_neighbours_are_joined():
    assert cut("a b. \nc d. \ne f. \ng h", 4, "\n") == ["a b. \nc d. ", "\ne f. \ng h"]


def test_only_what_is_too_long_is_split_at_the_next_separator():
    assert cut(TEXT, 6, "\n# ", "\n") == [
        "# One\na b c",
        "\n# Two\nd e f",
        "\ng h i",
        "\n# Three\nj",
    ]


def test_what_no_separator_splits_is_split_by_sentences():
    assert cut("One two. Three four. Five six.", 4, "never") == [
        "One two. Three four. ",
        "Five six.",
    ]
    assert cut("One two. Three four.", 2) == ["One two. ", "Three four."]


@given(texts(), st.integers(2, 30))
def test_spans_follow_each_other(text: str, size: int):
    spans = recursive_spans(text, size, [separator("\n"), separator(r"\.\s"), separator("")])
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(before[1] == after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("text", ["", " "])
def test_there_is_always_a_span(text: str):
    assert cut(text, 5, "\n") == [text]
