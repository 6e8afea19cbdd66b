"""The beginning of a `_bulk` body that needs not be read, as it names no index but the path's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from proxy.ground.errors import ProxyError
from proxy.semantic.exchange import Unread

# What a line has that may name another index, also in escapes or in UTF-16, or that makes it
# unclear which lines are documents: deletions, which have none, and blank lines.
_UNCLEAR: Final = re.compile(rb'"_index"|"delete"|\\u00[4-7]|\x00|(?:\A|\n)[ \t\r]*\n')
_LONGEST: Final = 1024 * 1024  # bytes of an item that are looked at again with each piece


class PlainLines:
    """Divides a body before the first item that has to be read; both parts are whole items."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""  # of an item that is not complete, or all that has to be read
        self.lines = 0  # that need not be read
        self.is_whole = False  # whether the body has ended, and all of it was plain
        self.is_divided = False  # whether what is left has to be read
        self.error: ProxyError | Unread | None = None  # by which the body has ended

    async def plain(self) -> AsyncIterator[bytes]:
        """The items that need not be read, and what is incomplete at the end of the body.

        Raises: as the body; `error` is set then.
        """
        try:
            async for piece in self._pieces:
                if self._take(piece):
                    return
                if whole := self._whole_items():
                    yield whole
        except (ProxyError, Unread) as error:
            self.error = error
            raise
        rest, self._rest, self.is_whole = self._rest, b"", True
        yield rest

    async def left(self) -> AsyncIterator[bytes]:
        """All that comes behind. Raises: as the body."""
        if self._rest:
            yield self._rest
        self._rest = b""
        async for piece in self._pieces:
            yield piece

    def _take(self, piece: bytes) -> bool:
        """Whether what has come has to be read."""
        self._rest += piece
        self.is_divided = len(self._rest) > len(piece) + _LONGEST or bool(
            _UNCLEAR.search(self._rest)
        )
        return self.is_divided

    def _whole_items(self) -> bytes:
        """The items that are complete: each has two lines."""
        count = self._rest.count(b"\n")
        end = self._rest.rfind(b"\n") + 1
        if count % 2:
            end = self._rest.rfind(b"\n", 0, end - 1) + 1
        self.lines += count - count % 2
        whole, self._rest = self._rest[:end], self._rest[end:]
        return whole
