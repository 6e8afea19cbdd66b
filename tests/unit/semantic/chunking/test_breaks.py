"""Words and sentences end where Java's ICU4J ends them, which recorded/breaks.jsonl tells."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from proxy.semantic.chunking.breaks import sentence_ends, word_breaks
from proxy.semantic.chunking.offsets import Utf16Text
from proxy.semantic.chunking.words import Words

LINES: Final = (Path(__file__).parent / "recorded/breaks.jsonl").read_text().splitlines()
RECORDED: Final = [json.loads(line) for line in LINES]  # orjson refuses lone surrogates


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
