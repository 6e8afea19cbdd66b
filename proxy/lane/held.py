"""The memory that the lane takes for callers who keep it waiting."""

from __future__ import annotations

from typing import Final, Protocol

# Bytes for all callers of a process: what some 500 hold who do not read their answers. They take up
# to twice as much, as the allocator has gaps, and parts of what is written are counted only.
MOST_HELD: Final = 96 * 1024 * 1024


class Holder(Protocol):
    """A caller's connection, as far as its memory is concerned."""

    @property
    def held(self) -> int:
        """Bytes that are kept for it now."""

    def let_go(self) -> None:
        """End it, and keep nothing more for it."""


class Held:
    """Knows for which callers something is kept, and ends some when that is too much.

    It hears of those that begin to hold something, and looks itself at whether they still do. Those
    that have held something for longest end first: who reads slowly holds nothing now and then, who
    does not read at all holds it for ever.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self.total = 0  # bytes
        self._most = most
        self._sizes: dict[Holder, int] = {}

    def note(self, holder: Holder) -> None:
        """Look at what is kept for it."""
        self._set(holder, holder.held)
        if self.total > self._most:
            self.look_again()
            self._shed()

    def forget(self, holder: Holder) -> None:
        """Count it no more: its connection is closed."""
        self._set(holder, 0)

    def look_again(self) -> None:
        """Look at all for which something was kept."""
        for holder in list(self._sizes):
            self._set(holder, holder.held)

    def _set(self, holder: Holder, size: int) -> None:
        if size:
            self.total += size - self._sizes.get(holder, 0)
            self._sizes[holder] = size
        else:
            self.total -= self._sizes.pop(holder, 0)

    def _shed(self) -> None:
        if self.total <= self._most:
            return
        for holder in list(self._sizes):
            holder.let_go()
            self.forget(holder)
            if self.total <= self._most * 3 // 4:  # not one for each that comes
                return
