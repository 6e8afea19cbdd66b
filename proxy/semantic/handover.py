"""Windows on their way from one step of a bulk to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxy.ground.errors import ProxyError
from proxy.semantic.bulk import Malformed, Window


class Handover:
    """One step gives windows, and the next takes all that wait, as one.

    So each step works on while the other is busy, and the slower one never waits for long.
    """

    def __init__(self, numbers: int = 0, size: int = 0) -> None:
        """Windows that wait have at most so many numbers and bytes, unless it is one alone.

        So the bytes bound what is sent upstream at once, too, and what is read of a body whose
        documents have no vectors.
        """
        self._numbers = numbers
        self._size = size
        self._waiting: list[Window] = []
        self._is_coming = False  # whether one more will be given
        self._is_over = False
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
        self._is_coming = True
        self._changed.set()
        await self._until(lambda: self._has_room(window))

    def give(self, window: Window) -> None:
        """Hand over a window for which there is room."""
        self._waiting.append(window)
        self._is_coming = False
        self._changed.set()

    async def take(self, *, knows_end: bool = False) -> Window | None:
        """What waits, once there is anything; None at the end. Raises: the error that ended it.

        With `knows_end`, it is known by then whether more comes, which `is_over` tells.
        """
        await self._until(lambda: self._can_take(knows_end))
        if self._error is not None:
            raise self._error
        if not self._waiting:
            return None
        window = Window.joined(self._waiting)
        self._waiting.clear()
        self._changed.set()
        return window

    async def is_over(self) -> bool:
        """Whether nothing more comes. Raises: the error that ended it."""
        await self._until(lambda: self._is_over or self._is_coming or bool(self._waiting))
        if self._error is not None:
            raise self._error
        return self._is_over and not self._waiting

    def _has_room(self, window: Window) -> bool:
        together = [*self._waiting, window]
        return len(together) == 1 or (
            sum(one.numbers for one in together) <= self._numbers
            and sum(one.length() for one in together) <= self._size
        )

    def _can_take(self, knows_end: bool) -> bool:
        if self._is_over:
            return True
        return bool(self._waiting) and (self._is_coming or not knows_end)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
