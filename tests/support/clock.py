"""Clocks that stand still unless a test moves them."""

from __future__ import annotations

import asyncio
import heapq


class Clock:
    now = 100.0  # seconds

    def __call__(self) -> float:
        return self.now


class Timeline:
    """A clock that a test moves on, and sleepers who wake in the order of their times."""

    def __init__(self) -> None:
        self.now = 100.0  # seconds
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, wakes))
        await wakes

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and all happen that does meanwhile."""
        end = self.now + seconds
        await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, wakes = heapq.heappop(self._sleepers)
            if not wakes.done():
                wakes.set_result(None)
            await settled()
        self.now = end


async def settled(turns: int = 20) -> None:
    """Let everybody go on who can."""
    for _ in range(turns):
        await asyncio.sleep(0)
