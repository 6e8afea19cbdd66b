from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument
from proxy.inference.chunking import SEPARATORS, ChunkingSettings, parse_chunking
from proxy.semantic.chunking.breaks import sentence_ends
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.offsets import Chunk, Utf16Text
from proxy.semantic.chunking.words import Words
from tests.unit.semantic.chunking.texts import texts


def word_settings(size: int, overlap: int) -> ChunkingSettings:
    return ChunkingSettings(
        strategy="word", max_chunk_size=size, sentence_overlap=None, overlap=overlap
    )


def sentence_settings(size: int, overlap: int) -> ChunkingSettings:
    return ChunkingSettings(strategy="sentence", max_chunk_size=size, sentence_overlap=overlap)


def recursive_settings(size: int, *separators: str) -> ChunkingSettings:
    return ChunkingSettings(
        strategy="recursive", max_chunk_size=size, sentence_overlap=None, separators=separators
    )


SETTINGS = st.one_of(
    st.integers(1, 30).flatmap(
        lambda size: st.integers(0, size // 2).map(lambda overlap: word_settings(size, overlap))
    ),
    st.builds(sentence_settings, st.integers(2, 30), st.integers(0, 1)),
    st.integers(2, 30).map(lambda size: recursive_settings(size, *SEPARATORS["plaintext"])),
    st.integers(2, 30).map(lambda size: recursive_settings(size, *SEPARATORS["markdown"])),
    st.integers(2, 30).map(lambda size: recursive_settings(size, r"\.\s", "", "[a-z]+")),
    st.just(ChunkingSettings(strategy="none", max_chunk_size=None, sentence_overlap=None)),
)


@given(texts(), SETTINGS)
def test_chunks_ascend_and_leave_no_gaps(text, settings):
    counted = Utf16Text(text)
    chunks = chunker_for(settings).chunks(text)
    assert chunks[0].start == 0
    for before, after in pairwise(chunks):
        assert before.start < after.start <= before.end < after.end
    rest = counted.index(chunks[-1].end)
    if settings.strategy == "word":  # what follows the last full chunk is left out, if no word
        assert Words(text[rest:]).ends == [] or chunks[-1].end == counted.length
    else:
        assert chunks[-1].end == counted.length


@given(texts(), SETTINGS)
def test_chunks_are_whole_characters(text, settings):
    encoded = text.encode("utf-16-le")
    counted = Utf16Text(text)
    for chunk in chunker_for(settings).chunks(text):
        part = encoded[2 * chunk.start : 2 * chunk.end].decode("utf-16-le")  # fails for a half
        assert part == counted.cut(chunk)


@given(texts(), st.integers(20, 60))
def test_chunks_of_sentences_without_overlap_end_with_sentences_or_words(text, size):
    counted = Utf16Text(text)
    ends = {counted.units(end) for end in [*sentence_ends(text), 0, *Words(text).ends]}
    for chunk in chunker_for(sentence_settings(size, 0)).chunks(text):
        assert chunk.end in ends


@given(texts())
def test_pieces_are_not_longer_than_asked_for_when_characters_can_be_split(text):
    words = Words(text)
    counted = Utf16Text(text)
    for chunk in chunker_for(recursive_settings(5, "")).chunks(text):
        start, end = counted.index(chunk.start), counted.index(chunk.end)
        touched = 1  # a word close before the chunk may be counted with it
        assert words.count(start, end) <= 5 + touched


@pytest.mark.parametrize(
    "settings", [word_settings(10, 2), sentence_settings(20, 1), recursive_settings(10, "\n")]
)
@pytest.mark.parametrize("text", ["", " ", "a", "😀"])
def test_there_is_always_a_chunk(settings, text):
    assert chunker_for(settings).chunks(text) == [Chunk(0, Utf16Text(text).length)]


def test_endpoints_without_settings_are_chunked_by_words():
    text = "word " * 400
    assert chunker_for(None).chunks(text) == chunker_for(word_settings(250, 100)).chunks(text)


def test_the_default_is_by_sentences():
    text = "It has five words only. " * 100
    chunks = chunker_for(parse_chunking({})).chunks(text)
    assert chunks[0] == Chunk(0, 50 * 24)
    assert chunks[1].start == 49 * 24


@pytest.mark.parametrize(
    ("size", "overlap", "reason"),
    [
        (10, 6, "overlap [6] must be < chunk size / 2 [10 / 2 = 5]"),
        (10, -1, "overlap [-1] must be >= 0"),
    ],
)
def test_overlaps_are_checked(size, overlap, reason):
    with pytest.raises(IllegalArgument) as raised:
        chunker_for(word_settings(size, overlap))
    assert raised.value.reason == f"Invalid chunking parameters, {reason}"


def test_lone_surrogates_count_one():
    text = "a \ud83d b"
    assert chunker_for(word_settings(10, 2)).chunks(text) == [Chunk(0, 5)]
    assert Utf16Text(text).cut(Chunk(2, 5)) == "\ud83d b"


def test_thousands_of_separators_are_no_problem():
    settings = recursive_settings(10, *(f"never {number}" for number in range(5000)))
    chunks = chunker_for(settings).chunks("Eight short words are in this sentence here. " * 4)
    assert len(chunks) == 4
