"""Which indices a point in time is of: its id has their names in it, shard by shard.

The layout is that of 7.12 and later. Source: SearchContextId, SearchContextIdForNode,
ShardSearchContextId, StreamOutput.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Final

from proxy.semantic.expressions import EVERYTHING

_CONTEXT: Final = 8  # bytes of a search context's number
_ABSENT, _PRESENT = 0, 1  # what stands before a value that may be missing


def expression_of(pit: str) -> str:
    """The index expression of a point in time, empty if all of it is in other clusters.

    It stands for all indices where the id cannot be read, as nothing may be shown by mistake.
    """
    try:
        data = urlsafe_b64decode(pit + "=" * (-len(pit) % 4))
        return ",".join(dict.fromkeys(_local_names(_Reader(data))))
    except (IndexError, ValueError, binascii.Error):
        return EVERYTHING


def _local_names(reader: _Reader) -> Iterator[str]:
    """The index of each shard that is not of another cluster. Raises: IndexError, ValueError."""
    reader.number()  # the version that has written it
    for _ in range(reader.number()):
        name = reader.text()
        reader.text()  # the index's UUID
        reader.number()  # the shard's
        # Since 8.16 the node of a shard that failed is missing, and so is its context.
        may_lack = reader.peek() in (_ABSENT, _PRESENT)
        if not may_lack or reader.flag():
            reader.text()  # the node
        cluster = reader.optional_text()
        if not may_lack or reader.flag():
            reader.skip(_CONTEXT)
            reader.text()  # the session of its node
            reader.optional_text()  # its searcher
        if not name:
            raise ValueError("an index without a name")
        if not cluster:
            yield name


class _Reader:
    """Reads values as Elasticsearch writes them between nodes.

    All methods raise IndexError where the data end, and ValueError for what cannot be.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int:
        """The next byte, which is not taken."""
        return self._data[self._at]

    def skip(self, count: int) -> None:
        """Pass over so many bytes."""
        self._at += count

    def number(self) -> int:
        """One of seven bits a byte, the lowest ones first."""
        found = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7
            if shift > 28:
                raise ValueError("a number of more than 32 bits")

    def flag(self) -> bool:
        """Whether a value follows that may be missing."""
        byte = self._data[self._at]
        self._at += 1
        if byte not in (_ABSENT, _PRESENT):
            raise ValueError("neither absent nor present")
        return byte == _PRESENT

    def text(self) -> str:
        """A string: its length in UTF-16 units, then one to three bytes for each of them."""
        units = self.number()
        start = self._at
        if self._data[start : start + units].isascii():
            self._at += units
        else:
            for _ in range(units):
                self._at += _bytes_of_unit(self._data[self._at])
        if self._at > len(self._data):
            raise IndexError("a string without its end")
        halves = self._data[start : self._at].decode("utf-8", "surrogatepass")
        return halves.encode("utf-16", "surrogatepass").decode("utf-16")

    def optional_text(self) -> str | None:
        """A string that may be missing."""
        return self.text() if self.flag() else None


def _bytes_of_unit(first: int) -> int:
    if first < 0x80:
        return 1
    return 2 if first < 0xE0 else 3
