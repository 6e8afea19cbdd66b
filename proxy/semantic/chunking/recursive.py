"""The strategy `recursive`: split at the first separator, what is too long at the next one.

Source: RecursiveChunker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proxy.semantic.chunking.offsets import Span
from proxy.semantic.chunking.sentence import sentence_spans
from proxy.semantic.chunking.separators import Budget, Separator
from proxy.semantic.chunking.words import Words


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the text, whether it may stay whole, and which separator is to split it if not."""

    start: int
    end: int
    fits: bool
    separator: int


def recursive_spans(text: str, size: int, separators: Sequence[Separator]) -> list[Span]:
    """Spans of at most `size` words that follow each other; each begins with its separator.

    What no separator splits is split by sentences. There is always a span, also for an empty text.
    Raises: IllegalArgument if matching the separators takes too long.
    """
    words, budget = Words(text), Budget(len(text))
    fits = not text or words.count(0, len(text)) <= size
    waiting = [_Piece(0, len(text), fits, 0)]
    spans: list[Span] = []
    while waiting:  # a stack rather than recursion: there may be thousands of separators
        piece = waiting.pop()
        if piece.fits or words.count(piece.start, piece.end) <= size:
            spans.append((piece.start, piece.end))
            continue
        part = text[piece.start : piece.end]
        if piece.separator >= len(separators):
            known = words if len(part) == len(text) else None
            found = sentence_spans(part, size, overlap=False, words=known)
            spans += [(piece.start + start, piece.start + end) for start, end in found]
            continue
        starts = separators[piece.separator].starts(part, budget)
        counted = words.counts(piece.start, _ends(piece, starts))
        waiting += reversed(list(_merged(piece, counted, size)))
    return spans


def _ends(piece: _Piece, starts: Iterable[int]) -> Iterator[int]:
    """Where the pieces end that the matches of a separator split off."""
    for start in starts:
        if start > 0:
            yield piece.start + start
    yield piece.end


def _merged(piece: _Piece, counted: Iterable[tuple[int, int]], size: int) -> Iterator[_Piece]:
    """The pieces, with neighbours joined while their words, added up, are at most `size`."""
    start = end = piece.start
    count = 0
    for next_end, words in counted:
        if end > start and count + words > size:
            yield _Piece(start, end, count <= size, piece.separator + 1)
            start, count = end, 0
        end = next_end
        count += words
    yield _Piece(start, end, count <= size, piece.separator + 1)
