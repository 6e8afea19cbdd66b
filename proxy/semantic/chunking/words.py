"""The words of a text, to count them as Elasticsearch does.

Its counts begin at the last break before a span rather than at its start, so that the word before
the span is counted with it when they touch, or when only one character stands between them. Chunks
end where they do because of it, so it is kept.
Source: ChunkerUtils.countWords; SentenceBoundaryChunker.skipWords.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from proxy.semantic.chunking.breaks import batches, word_blocks, word_breaks
from proxy.semantic.chunking.plainwords import is_plain, plain_break_after, plain_word_ends


class Words:
    """The words of a text; positions are indexes of the string."""

    def __init__(self, text: str) -> None:
        self._text = text
        # Where words end, ascending.
        self.ends: list[int] = []
        self._starts: list[int] = []  # of the blocks
        self._breaks: list[list[int] | None] = []  # in each block; None if they are worked out
        for start, block in word_blocks(text):
            self._starts.append(start)
            self._breaks.append(self._read(start, block))

    def count(self, start: int, end: int) -> int:
        """The words of a span, and the one before it if no break stands between them."""
        first = bisect_left(self.ends, start)
        return bisect_right(self.ends, end, first) - first + self._touched(first, start)

    def counts(self, start: int, ends: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Each of `ends` with `count` of the span to it from the one before, at first `start`."""
        words = self.ends
        first = bisect_left(words, start)  # the first word that does not end before `start`
        for end in ends:
            after = bisect_right(words, end, first)
            # A word that ends right before `start` touches; one farther off has to be looked at.
            if first and (before := words[first - 1]) != start - 1:
                yield end, after - first + (self._break_after(before) >= start)
            else:
                yield end, after - first + (first > 0)
            start = end
            first = after - 1 if after and words[after - 1] == end else after

    def skip(self, start: int, words: int) -> int:
        """Where one gets by stepping over some words from `start`, and the segment after them."""
        first = bisect_left(self.ends, start)
        if words == 0:
            return self._break_before(first, start)
        last = first + words - 1 - self._touched(first, start)
        if last >= len(self.ends):
            return len(self._text)
        return self._break_after(self.ends[last])

    def _read(self, start: int, block: str) -> list[int] | None:
        """Take the words of a block; returns all breaks, if they cannot be worked out."""
        if is_plain(block):
            for batch in batches(plain_word_ends(self._text, start, start + len(block))):
                self.ends += batch
            return None
        breaks: list[int] = []
        for ends, words in word_breaks(block):
            breaks += [start + end for end in ends]
            self.ends += [start + end for end in words]
        return breaks

    def _touched(self, first: int, start: int) -> int:
        """1 if the last break before `start` ends a word, else 0.

        `first` is the first word that does not end before `start`.
        """
        return int(first > 0 and self._break_after(self.ends[first - 1]) >= start)

    def _break_before(self, first: int, position: int) -> int:
        """The last break before a position, and `first` the first word not ending before it."""
        found = following = self.ends[first - 1] if first else 0
        while following < position:
            found, following = following, self._break_after(following)
        return found

    def _break_after(self, position: int) -> int:
        """The break after one at which no word begins, or that is in a block with all breaks."""
        breaks = self._breaks[bisect_right(self._starts, position) - 1]
        if breaks is None:
            return plain_break_after(self._text, position)
        index = bisect_right(breaks, position)
        return breaks[index] if index < len(breaks) else len(self._text)
