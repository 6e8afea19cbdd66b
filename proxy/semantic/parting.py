"""The items of a `_bulk` in windows of the right size: to be prepared, and to be embedded and sent.

Windows are prepared while those before them are embedded, and those before these sent. They are the
larger the more time there is meanwhile, so that the upstream has soon something to do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Final

from proxy.semantic.bulk import Item, Window

# Numbers in the vectors of a window, and its texts: those of one call of the client.
_NUMBERS: Final = 200_000
_TEXTS: Final = 512
_BYTES: Final = 1024 * 1024  # of its documents
_FEW: Final = 128  # texts of a window that is not full, but for the first one
_LARGE: Final = 64 * 1024  # bytes of documents; what has no more is prepared at once
# Bytes of documents that are prepared at once, of what has more: without pipelines, so few that
# texts that are embedded meanwhile hardly wait for the processor.
_GROUP: Final = 16 * 1024
_FIRST_GROUP: Final = 4  # by which the first group of a large body is smaller
_INGESTED: Final = 128 * 1024


def is_large(window: Window) -> bool:
    """Whether its documents are worth being worked through in several steps."""
    return window.size() > _LARGE


def groups(window: Window, most: int | None = None, *, is_first: bool = False) -> Iterator[Window]:
    """A window in pieces that are prepared at once, of at most `most` items that are ingested.

    Those of the first window of a large body begin small.
    """
    most_bytes = _GROUP if most is None else _INGESTED
    limit = most_bytes if is_large(window) else _LARGE
    if is_first and is_large(window):
        limit //= _FIRST_GROUP
    items: list[Item] = []
    size, lines = 0, window.lines
    for item in window.items:
        if items and (size >= limit or len(items) == most):
            group = Window(items, lines)
            yield group
            items, size, lines = [], 0, lines + group.line_count()
            limit = max(limit, min(2 * limit, most_bytes))
        items.append(item)
        size += item.size
    yield Window(items, lines)


class Gathering:
    """Puts prepared items together in windows whose vectors take little enough memory.

    An item that relies on what is there does not share one with what changes it; `key_of` tells
    which document an item is about.
    """

    def __init__(self, key_of: Callable[[Item], Hashable]) -> None:
        self._key_of = key_of
        self._is_first = True  # whether no window has been full, or enough
        self._begin(0)

    def _begin(self, lines: int) -> None:
        self._window = Window([], lines)
        self._texts = self._bytes = 0
        self._written: set[Hashable] = set()  # by the first items
        self._seen = 0  # how many these are

    def full(self, group: Window) -> Iterator[Window]:
        """The windows that are full with these items."""
        lines = group.lines
        if not self._window.items:
            self._begin(lines)
        for item in group.items:
            numbers = texts = 0
            for filling in item.fillings():
                numbers += filling.weight()
                texts += filling.chunk_count()
            size = item.size
            if self._window.items and (
                self._is_too_much(numbers, texts, size) or (item.relies and self._is_written(item))
            ):
                self._is_first = False
                yield self._window
                self._begin(lines)
            self._window.items.append(item)
            self._window.numbers += numbers
            self._texts += texts
            self._bytes += size
            lines += item.line_count

    def _is_written(self, item: Item) -> bool:
        """Whether the document that an item is about is written in the same window."""
        self._written.update(map(self._key_of, self._window.items[self._seen :]))
        self._seen = len(self._window.items)
        return self._key_of(item) in self._written

    def rest(self) -> Iterator[Window]:
        """The window of the items that are left, if there are any."""
        if self._window.items:
            self._is_first = False
            yield self._window
            self._begin(0)

    def enough(self) -> Iterator[Window]:
        """As `rest`, where nothing is embedded meanwhile.

        Few items wait for a few more all the same, but for the first ones: the upstream has nothing
        to do before these.
        """
        if self._is_first or self._texts >= _FEW:
            yield from self.rest()

    def _is_too_much(self, numbers: int, texts: int, size: int) -> bool:
        return (
            self._window.numbers + numbers > _NUMBERS
            or self._texts + texts > _TEXTS
            or self._bytes + size > _BYTES
        )
