"""Garbage in cycles, which Python looks for: at quiet moments, and not amid a burst of requests.

Requests under way hold no cycles, but a thousand streams 170,000 objects: by Python's own
thresholds, it would look at these for a fifth of the time, just while they begin, and find nothing.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from time import monotonic, thread_time
from typing import Final

TICK: Final = 0.1  # seconds until what has been made is counted again
# A tick is quiet if the event loop has worked for so much of it at most, and not been kept from
# work by other processes, either: then requests go on to come, and objects to be made.
_QUIET: Final = 0.5
_MADE: Final = 1000  # objects
# What bounds the memory of cycles: so many ticks without a quiet one, and as many objects.
_LATEST: Final = 10
_MOST: Final = 200_000  # as many as are looked at in 25 ms
_FEW: Final = 10_000  # objects, for which a look is not worth it
_OLDER: Final = 10  # looks at the youngest objects until those that outlived them get theirs
_OLDEST: Final = 100  # of these until all objects get theirs, which may take long


class QuietCollection:
    """Looks for cycles when the event loop has little to do, or has not had it for a second."""

    def __init__(
        self,
        counts: Callable[[], tuple[int, int, int]] = gc.get_count,
        collect: Callable[[int], object] = gc.collect,
        clock: Callable[[], float] = monotonic,
        worked: Callable[[], float] = thread_time,
    ) -> None:
        self._counts = counts
        self._collect = collect
        self._clock = clock
        self._worked = worked
        self._before = (clock(), worked(), 0)
        self._busy = 0  # ticks one after the other, while there was something to look at

    def begin(self) -> None:
        """Leave the rest of this event loop's life to it."""
        gc.set_threshold(_MOST, _OLDER, _OLDEST)
        self._again()

    def _again(self) -> None:
        asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self.look()
        self._again()

    def look(self) -> None:
        """Look for cycles, if enough was made for it, and now is the time."""
        youngest, *older = self._counts()
        is_quiet = self._is_quiet(youngest)
        if youngest < _FEW:
            self._busy = 0
            return
        self._busy += 1
        if is_quiet or self._busy >= _LATEST:
            self._busy = 0
            self._collect(_oldest(*older))

    def _is_quiet(self, objects: int) -> bool:
        """Whether the tick has been that ends with so many of the youngest objects."""
        (then, had_worked, before), now, worked = self._before, self._clock(), self._worked()
        self._before = (now, worked, objects)
        return worked - had_worked <= _QUIET * (now - then) and objects - before < _MADE


def _oldest(middle: int, oldest: int) -> int:
    """The oldest generation whose turn it is, as Python has it; younger ones are looked at, too."""
    if middle <= _OLDER:
        return 0
    return 1 if oldest <= _OLDEST else 2
