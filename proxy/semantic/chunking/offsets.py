"""Chunks, and offsets in UTF-16 units.

Java counts a text in UTF-16 code units, Python in code points: an emoji is two there and one here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final, NamedTuple

# Text between two indexes of a Python string, the end exclusive.
Span = tuple[int, int]

_SUPPLEMENTARY: Final = re.compile("[\U00010000-\U0010ffff]")


class Chunk(NamedTuple):
    """A part of a text, from `start` to before `end`, in UTF-16 units."""

    start: int
    end: int

    def shifted(self, units: int) -> Chunk:
        """The same part, where the text begins `units` later."""
        return Chunk(self.start + units, self.end + units) if units else self


class Utf16Text:
    """A text that is addressed in UTF-16 units."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Where characters stand that count two, as indexes and in units.
        self._indexes = [] if _counts_alike(text) else _supplementary(text)
        self._units = [index + before for before, index in enumerate(self._indexes)]

    @property
    def length(self) -> int:
        """UTF-16 units."""
        return len(self.text) + len(self._indexes)

    def units(self, index: int) -> int:
        """The offset of the character at `index`."""
        return index + bisect_left(self._indexes, index)

    def index(self, units: int) -> int:
        """The reverse of `units`; an offset amid a character means that character."""
        return units - bisect_left(self._units, units)

    def chunk(self, span: Span) -> Chunk:
        start, end = span
        if not self._indexes:
            return Chunk(start, end)
        return Chunk(self.units(start), self.units(end))

    def cut(self, chunk: Chunk) -> str:
        """The text of a chunk."""
        if not self._indexes:
            return self.text[chunk.start : chunk.end]
        return self.text[self.index(chunk.start) : self.index(chunk.end)]


def utf16_length(text: str) -> int:
    """The length of a text in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _counts_alike(text: str) -> bool:
    return utf16_length(text) == len(text)


def _supplementary(text: str) -> list[int]:
    return [match.start() for match in _SUPPLEMENTARY.finditer(text)]
