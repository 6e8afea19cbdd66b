"""Turns at the event loop, for work that can come in floods and is done a little at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from proxy.ground.steps import Step

_SPELL: Final = 0.0005  # seconds of work before others get their turn; an ordinary event takes less
_SHARE: Final = 0.03  # of a turn of the loop, where that is more
_STEP: Final = 0.00003  # seconds that a step leads to, about: it takes them after this turn


class _Line:
    """Some who wait for their turn, and how long such have worked in this turn of the loop."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None] | Step] = deque()
        self._seconds = 0.0
        self._spells = 0  # that they were worked in

    def worked(self, seconds: float) -> None:
        self._seconds += seconds
        self._spells += 1

    def call(self, seconds: float) -> float:
        """Let as many go on as will work for these seconds, at least one; the seconds left over."""
        each = self._seconds / self._spells if self._spells else seconds
        self._seconds, self._spells = 0.0, 0
        is_first = True
        while self.waiting and (is_first or seconds >= each):
            turn = self.waiting.popleft()
            if not isinstance(turn, asyncio.Future):
                turn()
            elif not turn.done():
                turn.set_result(None)
            else:
                continue  # this one has left
            seconds -= each
            is_first = False
        return seconds


class Turns:
    """Lets all who have much to do work for a spell, or a share, of each turn of the event loop.

    Whoever comes when that is used up waits in line. So what has few steps to go, such as a request
    that begins, is not kept waiting in each of them for all that others have to do. Who begins goes
    before those who have worked for a spell, of whom one goes on in each turn all the same: most
    have little to do, and would wait for many who have much.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.beginning, self.busy = _Line(), _Line()
        self._is_counting = False  # whether the loop is going to call `_next_turn`
        self._began = 0.0  # this turn of the loop
        self._most = _SPELL  # seconds of work in it
        self._done = 0.0  # seconds of it

    @property
    def is_over(self) -> bool:
        """Whether all have worked enough in this turn of the loop."""
        return bool(self.beginning.waiting) or self._done >= self._most

    def worked(self, line: _Line, seconds: float) -> None:
        """Count the seconds for which somebody has worked who was in that line."""
        line.worked(seconds)
        self._done += seconds
        if not self._is_counting:
            self._began = self.clock() - seconds
            self._count()

    async def next(self, line: _Line) -> None:
        """Return when it is our turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wait(line, turn)
        await turn

    def puts_off(self, step: Step) -> bool:
        """Whether a step has to wait, because all have worked enough; then it is taken in its turn.

        It counts as work that begins: it is about to lead to some.
        """
        if self.is_over:
            self._wait(self.beginning, step)
            return True
        self._done += _STEP
        if not self._is_counting:
            self._began = self.clock()
            self._count()
        return False

    def _wait(self, line: _Line, turn: asyncio.Future[None] | Step) -> None:
        line.waiting.append(turn)
        if not self._is_counting:
            self._count()

    def _count(self) -> None:
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        now = self.clock()
        self._most = max(_SPELL, (now - self._began) * _SHARE)
        self._began, self._done = now, 0.0
        self._is_counting = False
        if self.beginning.waiting or self.busy.waiting:
            self._count()
        self.busy.call(self.beginning.call(self._most))


class Worker:
    """Somebody whose work may be long."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._line = turns.beginning
        self._since = turns.clock()

    def begin(self) -> None:
        """It has waited for something else."""
        self._line = self._turns.beginning
        self._since = self._turns.clock()

    async def begin_in_turn(self) -> None:
        """As `begin`, once all together have not worked enough in this turn."""
        if self._turns.is_over:
            await self._turns.next(self._turns.beginning)
        self.begin()

    def end(self) -> None:
        """It is about to wait for something else."""
        self._turns.worked(self._line, self._turns.clock() - self._since)

    async def pause(self) -> None:
        """Wait for the next turn, if this one has lasted long enough."""
        seconds = self._turns.clock() - self._since
        if seconds >= _SPELL:
            self._turns.worked(self._line, seconds)
            self._line = self._turns.busy
            await self._turns.next(self._line)
            self._since = self._turns.clock()
