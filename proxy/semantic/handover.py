"""Windows on their way from one step of a bulk to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from proxy.ground.errors import ProxyError
from proxy.semantic.bulk import Malformed, Window

# A turn of the event loop that takes no longer is one in which nobody had much to do.
_QUIET: Final = 0.00005  # seconds
_QUIET_TURNS: Final = 3  # in a row, after which nobody is amid something that takes several
_TURNS: Final = 5  # that others get at most
_SENDING_TURNS: Final = 4  # until a request that has just been made is written


async def others_first(clock: Callable[[], float] = monotonic) -> None:
    """Let those who have something to do work before what can wait, for a few turns of the loop.

    An answer that comes, and what is sent next, take several turns: work in each of them would
    keep both ends waiting.
    """
    quiet = 0
    for _ in range(_TURNS):
        began = clock()
        await asyncio.sleep(0)
        quiet = quiet + 1 if clock() - began < _QUIET else 0
        if quiet == _QUIET_TURNS:
            return


async def sent_first() -> None:
    """Let a request that has just been made leave before a long work begins."""
    for _ in range(_SENDING_TURNS):
        await asyncio.sleep(0)


class Handover:
    """One step gives windows, and the next takes all that wait, as one.

    So each step works on while the other is busy, and the slower one never waits for long.
    """

    def __init__(self, most: int = 0) -> None:
        """Windows that wait are at most `most` bytes together, as they weigh, or it is but one."""
        self._most = most
        self._waiting: list[Window] = []
        self._weights: list[int] = []  # theirs
        self._is_coming = False  # whether one more will be given
        self._is_over = False
        self._is_taken = False  # what comes next, by somebody who waits for it
        self._error: Malformed | ProxyError | None = None
        self._changed = asyncio.Event()

    @contextmanager
    def giving(self) -> Iterator[None]:
        """While entered, more may come; who takes gets the error of a request that ends it."""
        try:
            yield
        except (Malformed, ProxyError) as error:
            self._error = error
        finally:
            self._is_over = True
            self._changed.set()

    async def room(self, window: Window) -> None:
        """Announce a window, and wait until there is room for it."""
        weight = window.weight()
        self._is_coming = True
        self._changed.set()
        await self._until(lambda: not self._waiting or sum(self._weights) + weight <= self._most)

    def give(self, window: Window) -> None:
        """Hand over a window for which there is room."""
        self._waiting.append(window)
        self._weights.append(window.weight())
        self._is_coming = False
        self._changed.set()

    async def take(self, *, knows_end: bool = False) -> Window | None:
        """What waits, once there is anything; None at the end. Raises: the error that ended it.

        With `knows_end`, what may be the last window waits until that is known, which `is_over`
        tells then.
        """
        self._is_taken = True
        await self._until(lambda: self._is_over or self._count(knows_end) > 0)
        self._is_taken = False
        if self._error is not None:
            raise self._error
        if not self._waiting:
            return None
        count = self._count(knows_end)
        window = Window.joined(self._waiting[:count])
        self._waiting, self._weights = self._waiting[count:], self._weights[count:]
        self._changed.set()
        return window

    @property
    def is_awaited(self) -> bool:
        """Whether the next step has nothing to do until a window comes."""
        return self._is_taken and not self._waiting

    async def is_over(self) -> bool:
        """Whether nothing more comes. Raises: the error that ended it."""
        await self._until(lambda: self._is_over or self._is_coming or bool(self._waiting))
        if self._error is not None:
            raise self._error
        return self._is_over and not self._waiting

    def _count(self, knows_end: bool) -> int:
        """How many windows can be taken."""
        may_be_last = knows_end and not (self._is_coming or self._is_over)
        return len(self._waiting) - may_be_last

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
