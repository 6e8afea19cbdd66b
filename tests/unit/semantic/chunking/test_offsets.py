"""Offsets in UTF-16 units, of which emoji take two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantic.chunking.offsets import Chunk, Utf16Text, utf16_length
from tests.unit.semantic.chunking.texts import texts


@given(texts(), st.integers(0, 200))
def test_offsets_convert_there_and_back(text: str, index: int):
    counted = Utf16Text(text)
    index = min(index, len(text))
    assert counted.units(index) == len(text[:index].encode("utf-16-le")) // 2
    assert counted.index(counted.units(index)) == index
    assert counted.length == counted.units(len(text)) == utf16_length(text)


def test_an_offset_amid_a_character_means_that_character():
    text = Utf16Text("a😀b")
    assert [text.index(units) for units in range(5)] == [0, 1, 1, 2, 3]


def test_chunks_are_cut_where_java_would():
    text = Utf16Text("a😀b😀c")
    chunk = text.chunk((2, 4))
    assert chunk == Chunk(3, 6)
    assert text.cut(chunk) == "b😀"
    assert chunk.shifted(10) == Chunk(13, 16)


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("\ud83d", 1)]
)
def test_lengths(text: str, length: int):
    assert utf16_length(text) == Utf16Text(text).length == length


def test_lone_surrogates_count_one():
    assert Utf16Text("a \ud83d b").cut(Chunk(2, 5)) == "\ud83d b"
