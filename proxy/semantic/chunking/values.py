"""The values of a field, chunked one by one, with offsets as if one character stood between them.

Source: EmbeddingRequestChunker; ShardBulkInferenceActionFilter; SemanticTextField.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.semantic.chunking.chunker import Chunker
from proxy.semantic.chunking.offsets import Chunk, Utf16Text

# Of one value; embeddings of more are merged, so that each slot has one.
MOST_CHUNKS: Final = 512

# Java's String.isBlank: no-break spaces and U+0085 are not blank.
_BLANK: Final = re.compile(
    r"[\t-\r\x1c-\x20\u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000]*"
)


class Passage(NamedTuple):
    """What is sent to the provider: the text of a chunk, and where it stands in the values."""

    text: str
    chunk: Chunk


def passages_of(values: Sequence[str], chunker: Chunker) -> list[list[Passage]]:
    """For each value its passages; none for a blank one, which still takes its room.

    Takes processor time, as Chunker.chunks does, and raises the same.
    """
    found = []
    offset = 0  # UTF-16 units
    for value in values:
        text = Utf16Text(value)
        chunks = [] if _BLANK.fullmatch(value) else chunker.chunks(value)
        found.append([Passage(text.cut(chunk), chunk.shifted(offset)) for chunk in chunks])
        offset += text.length + 1
    return found


def slots(count: int) -> list[range]:
    """Which of the `count` chunks of a value share a slot, whose embeddings are merged into one."""
    if count <= MOST_CHUNKS:
        return [range(index, index + 1) for index in range(count)]
    # Chunk k goes to slot k * 512 // count: a slot begins with the first k for which that is so.
    first = [-(-slot * count // MOST_CHUNKS) for slot in range(MOST_CHUNKS + 1)]
    return [range(first[slot], first[slot + 1]) for slot in range(MOST_CHUNKS)]


def covering(chunks: Sequence[Chunk], slot: range) -> Chunk:
    """The chunk that a slot stands for: from its first one's start to its last one's end."""
    return Chunk(chunks[slot[0]].start, chunks[slot[-1]].end)
