"""Turns at the event loop, for work that can come in floods and is done a little at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

_SPELL: Final = 0.0005  # seconds of work before others get their turn; an ordinary event takes less


class Turns:
    """Who has much to do waits in one line; each turn of the event loop, one of them goes on."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._line = asyncio.Lock()

    async def next(self) -> None:
        """Return when it is our turn."""
        async with self._line:
            await asyncio.sleep(0)


class Worker:
    """Somebody whose work may be long."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._since = turns.clock()

    def has_waited(self) -> None:
        """It waited for something else, so others had their turn."""
        self._since = self._turns.clock()

    async def pause(self) -> None:
        """Wait for the next turn, if this one has lasted long enough."""
        if self._turns.clock() - self._since >= _SPELL:
            await self._turns.next()
            self._since = self._turns.clock()
