"""The strategy `word`: as many words as fit, the last ones repeated in the next chunk.

Source: WordBoundaryChunker.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.semantic.chunking.offsets import Span
from proxy.semantic.chunking.words import Words


@dataclass(frozen=True, slots=True)
class Counted:
    """A span with the number of its words, those of the overlap included."""

    span: Span
    words: int


def word_spans(text: str, size: int, overlap: int) -> list[Counted]:
    """Spans of `size` words, of which each repeats the last `overlap` words of the one before it.

    A span ends right after its last word. What follows the last full one is left out if there is
    no word in it. There is always a span, also for an empty text. `overlap` is at most half of
    `size`.
    """
    ends = Words(text).ends
    if len(ends) < size:
        return [Counted((0, len(text)), len(ends))]
    spans = []
    step = size - overlap
    start = 0
    for last in range(size - 1, len(ends), step):
        spans.append(Counted((start, ends[last]), size))
        start = ends[last - overlap]
    spare = (len(ends) - size) % step
    if spare:
        spans.append(Counted((start, len(text)), overlap + spare))
    return spans
