"""Garbage in cycles, which Python looks for: at quiet moments, and not amid a burst of requests.

Requests under way hold no cycles, but a thousand streams 170,000 objects: by Python's own
thresholds, it would look at these for a fifth of the time, just while they begin, and find nothing.
Most are gone before they are looked at here.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from time import monotonic
from typing import Final

TICK: Final = 0.1  # seconds until what has been made is counted again
_LATE: Final = 0.005  # seconds by which a tick is late if there is much to do, for us or others
_FEW: Final = 10_000  # objects, for which a look is not worth it
# What bounds the memory of cycles: so many ticks, or objects.
EARLIEST: Final = 20
LATEST: Final = 50  # if none is quiet
_MOST: Final = 200_000  # as many as are looked at in 30 ms
_OLDER: Final = 10  # looks at the youngest objects until those that outlived them get theirs
_OLDEST: Final = 100  # of these until all objects get theirs, which may take long


class QuietCollection:
    """Looks for cycles when the event loop has little to do, or has not had it for five seconds."""

    def __init__(
        self,
        counts: Callable[[], tuple[int, int, int]] = gc.get_count,
        collect: Callable[[int], object] = gc.collect,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._counts = counts
        self._collect = collect
        self._clock = clock
        self._due = clock()
        self._ticks = 0  # one after the other, in which there was something to look at

    def begin(self) -> None:
        """Leave it to this to look for cycles, for as long as the event loop runs."""
        gc.set_threshold(_MOST, _OLDER, _OLDEST)
        self._again()

    def _again(self) -> None:
        self._due = self._clock() + TICK
        asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self.look(late=self._clock() - self._due)
        self._again()

    def look(self, *, late: float) -> None:
        """Look for cycles if enough was made for it, and now is the time."""
        youngest, *older = self._counts()
        self._ticks = self._ticks + 1 if youngest >= _FEW else 0
        if self._ticks >= (EARLIEST if late < _LATE else LATEST):
            self._ticks = 0
            self._collect(_oldest(*older))


def _oldest(middle: int, oldest: int) -> int:
    """The oldest generation whose turn it is, as Python has it; younger ones are looked at, too."""
    if middle <= _OLDER:
        return 0
    return 1 if oldest <= _OLDEST else 2
