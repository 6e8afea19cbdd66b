"""How many calls a server may have under way: as many as come, until it has too many.

A server that refuses for its load gets half as many calls as it had, then one more for each round
of calls that it answers. Requests whose calls wait take turns, so that one with many calls does not
keep others waiting for all of them. A server that refuses the only call it has is not busy with
ours: then fewer calls help nobody, and the bound goes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

from proxy.huggingface.retry import Clock

OVERLOADED: Final = frozenset((424, 429, 503, 529))
_CALM: Final = 60.0  # seconds without such a refusal after which the bound goes


class Places:
    """The calls to one server that are under way, and those that wait."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.bound: float | None = None  # of calls under way; None: there is none
        self.under_way = 0
        self._lowered = 0  # how often the bound was
        self._refused_at = 0.0
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    def is_free(self) -> bool:
        """Whether another call may leave at once."""
        return not self._waiting and self._has_room()

    def _has_room(self) -> bool:
        return self.bound is None or self.under_way < int(self.bound)

    def take(self) -> int:
        """Take a place, which must be free; what `leave` has to be told."""
        self.under_way += 1
        return self._lowered

    async def turn(self, request: Hashable) -> int:
        """Take a place when it is the turn of that request; what `leave` has to be told."""
        if self.is_free():
            return self.take()
        await self._turn(request)
        return self._lowered

    async def _turn(self, request: Hashable) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came at the same moment
                self.under_way -= 1
            self._grant()
            raise

    def leave(self, lowered: int, status: int | None) -> None:
        """A call has ended: `lowered` is from `take` or `turn`.

        `status` is that of a refusal, None for success, 0 for no reply.
        """
        self.under_way -= 1
        if status in OVERLOADED:
            self._refused(lowered)
        elif self.bound is not None and status is None:
            if self._clock() - self._refused_at > _CALM:
                self.bound = None
            else:
                self.bound += 1 / self.bound
        self._grant()

    def _refused(self, lowered: int) -> None:
        self._refused_at = self._clock()
        if lowered < self._lowered:
            return  # what refuses several calls of one moment is one overload
        if not self.under_way:
            self.bound = None
        else:
            self.bound = max(1.0, (self.under_way + 1) // 2)
            self._lowered += 1

    def _grant(self) -> None:
        """Let those go whose turn it is: a call of each request that waits, then the next ones."""
        while self._waiting and self._has_room():
            request, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[request] = turns
            if not turn.done():
                self.under_way += 1
                turn.set_result(None)
