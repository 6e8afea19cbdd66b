"""Turns at the event loop, for work that can come in floods and is done a little at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

_SPELL: Final = 0.0005  # seconds of work before others get their turn; an ordinary event takes less
_SHARE: Final = 0.25  # of a turn of the loop, where that is more


class Turns:
    """Lets all who have much to do work for a spell, or a share, of each turn of the event loop.

    Whoever comes when that is used up waits in one line. So what has few steps to go, such as a
    request that begins, is not kept waiting in each of them for all that others have to do.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._line: deque[asyncio.Future[None]] = deque()
        self._is_counting = False  # whether the loop is going to call `_next_turn`
        self._began = 0.0  # this turn of the loop
        self._most = _SPELL  # seconds of work in it
        self._done = 0.0  # seconds of it
        self._spells = 0  # that it was done in

    @property
    def is_over(self) -> bool:
        """Whether all have worked enough in this turn of the loop."""
        return bool(self._line) or self._done >= self._most

    def worked(self, seconds: float) -> None:
        """Somebody has, for so long."""
        self._done += seconds
        self._spells += 1
        if not self._is_counting:
            self._began = self.clock() - seconds
            self._count()

    async def next(self) -> None:
        """Return when it is our turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        if not self._is_counting:
            self._count()
        await turn

    def _count(self) -> None:
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        now = self.clock()
        self._most = max(_SPELL, (now - self._began) * _SHARE)
        each = self._done / self._spells if self._spells else 0.0
        self._began, self._done, self._spells = now, 0.0, 0
        self._is_counting = False
        if self._line:
            self._count()
            for _ in range(max(1, int(self._most / each)) if each else 1):
                self._call_next()

    def _call_next(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():  # by one who has left
                turn.set_result(None)
                return


class Worker:
    """Somebody whose work may be long."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._since = turns.clock()

    def begin(self) -> None:
        """It has waited for something else."""
        self._since = self._turns.clock()

    async def begin_in_turn(self) -> None:
        """As `begin`, once all together have not worked enough in this turn."""
        if self._turns.is_over:
            await self._turns.next()
        self.begin()

    def end(self) -> None:
        """It is about to wait for something else."""
        self._turns.worked(self._turns.clock() - self._since)

    async def pause(self) -> None:
        """Wait for the next turn, if this one has lasted long enough."""
        seconds = self._turns.clock() - self._since
        if seconds >= _SPELL:
            self._turns.worked(seconds)
            await self._turns.next()
            self._since = self._turns.clock()
