from __future__ import annotations

import pytest

from proxy.inference.chunking import ChunkingSettings
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.offsets import Chunk
from proxy.semantic.chunking.values import Passage, covering, passages_of, slots

CHUNKER = chunker_for(ChunkingSettings())


def test_values_are_chunked_one_by_one_with_offsets_that_go_on():
    assert passages_of(["One 😀.", "Two."], CHUNKER) == [
        [Passage("One 😀.", Chunk(0, 7))],
        [Passage("Two.", Chunk(8, 12))],
    ]


def test_long_values_have_several_passages():
    first, second = passages_of(["short", "It has five words only. " * 60], CHUNKER)
    assert [passage.chunk.start for passage in second] == [6, 6 + 49 * 24]
    assert second[1].text == "It has five words only. " * 11
    assert len(first) == 1


@pytest.mark.parametrize("blank", ["", " ", "\n\t\r\x1f", "\u3000\u2003\u2028"])
def test_blank_values_have_no_passages_but_take_room(blank):
    nothing, passages = passages_of([blank, "text"], CHUNKER)
    assert nothing == []
    assert passages[0].chunk == Chunk(len(blank) + 1, len(blank) + 5)


@pytest.mark.parametrize("text", ["\xa0", "\u2007", "\u202f", "\x85", "\u200b", "."])
def test_what_java_does_not_call_blank_has_a_passage(text):
    assert passages_of([text], CHUNKER) == [[Passage(text, Chunk(0, 1))]]


@pytest.mark.parametrize("count", [0, 1, 511, 512])
def test_up_to_512_chunks_have_slots_of_their_own(count):
    assert slots(count) == [range(index, index + 1) for index in range(count)]


@pytest.mark.parametrize("count", [513, 589, 1024, 1025, 9999])
def test_more_chunks_share_512_slots(count):
    found = slots(count)
    assert len(found) == 512
    for number, slot in enumerate(found):
        assert slot
        assert all(chunk * 512 // count == number for chunk in slot)
    assert [chunk for slot in found for chunk in slot] == list(range(count))


def test_a_slot_covers_its_chunks():
    chunks = [Chunk(0, 5), Chunk(3, 8), Chunk(6, 11)]
    assert covering(chunks, range(1, 3)) == Chunk(3, 11)
