"""How many calls a server may have under way: as many as come, until it has too many.

A server that refuses for its load gets half as many calls as it had, then one more for each round
of calls that it answers. As many as it refused are tried again only after many rounds, or a small
server would refuse every other call. After a calm minute their number doubles with each round, and
the bound goes once no call waits. Requests whose calls wait take turns, so that one with many calls
does not keep others waiting for all of them. A server that refuses the only call it has is not busy
with ours: then fewer calls help nobody, and the bound goes.

A call that takes much longer than others do may be lost: it leaves its place to one that waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

from proxy.huggingface.retry import Clock

OVERLOADED: Final = frozenset((424, 429, 503, 529))
_CALM: Final = 60.0  # seconds without such a refusal
_ROUNDS: Final = 20  # of calls, until as many as were refused are tried again
# A call is late after so many seconds, or so many times what calls have taken of late.
_LATE: Final = 3.0
_LATE_TIMES: Final = 4.0
_WEIGHT: Final = 0.2  # of the last call in what calls have taken


class Place:
    """A call under way, as one of those to its server."""

    __slots__ = ("lowered", "since")

    def __init__(self, lowered: int, since: float) -> None:
        self.lowered = lowered  # how often the bound had been by then
        self.since = since


class Places:
    """The calls to one server that are under way, and those that wait."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.bound: float | None = None  # of calls under way; None: there is none
        self._held: dict[Place, None] = {}  # the oldest first
        self._lowered = 0  # how often the bound was
        self._refused_at = 0.0
        self._too_many = 0  # calls under way, of which the last was refused
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[Place]]] = OrderedDict()
        self._usual = 0.0  # seconds that calls take
        self._timer: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> int:
        """Calls that have a place."""
        return len(self._held)

    def is_free(self) -> bool:
        """Whether another call may leave at once."""
        return not self._waiting and self._has_room()

    def _has_room(self) -> bool:
        return self.bound is None or self.under_way < int(self.bound)

    def take(self) -> Place:
        """Take a place, which must be free, until `leave`."""
        place = Place(self._lowered, self._clock())
        self._held[place] = None
        return place

    async def turn(self, request: Hashable) -> Place:
        """Take a place when it is the turn of that request, until `leave`."""
        return self.take() if self.is_free() else await self._turn(request)

    async def _turn(self, request: Hashable) -> Place:
        turn: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request, deque()).append(turn)
        self._watch()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came at the same moment
                self._held.pop(turn.result(), None)
            self._grant()
            raise

    def _watch(self) -> None:
        """Look for calls that are late, as long as others wait for their places."""
        if self._timer is None and self._waiting and self._held:
            age = self._clock() - next(iter(self._held)).since
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._patience - age), self._look)

    def _look(self) -> None:
        self._timer = None
        before = self._clock() - self._patience
        for place in [place for place in self._held if place.since <= before]:
            del self._held[place]
        self._grant()
        self._watch()

    @property
    def _patience(self) -> float:
        return max(_LATE, _LATE_TIMES * self._usual)

    def leave(self, place: Place, status: int | None) -> None:
        """The call that had a place has ended.

        `status` is that of a refusal, None for success, 0 for no reply.
        """
        self._held.pop(place, None)
        if status is None:
            self._usual += _WEIGHT * (self._clock() - place.since - self._usual)
        if status in OVERLOADED:
            self._refused(place.lowered)
        elif self.bound is not None and status is None:
            self.bound = self._grown(self.bound)
        self._grant()

    def _grown(self, bound: float) -> float | None:
        """The bound after a call that the server has answered."""
        is_calm = self._clock() - self._refused_at > _CALM
        if is_calm and not self._waiting:
            return None
        if int(bound) + 1 == self._too_many:
            return bound + 1 / (bound if is_calm else bound * _ROUNDS)
        return bound + (1 if is_calm else 1 / bound)

    def _refused(self, lowered: int) -> None:
        self._refused_at = self._clock()
        if lowered < self._lowered:
            return  # what refuses several calls of one moment is one overload
        self._too_many = self.under_way + 1
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
                turn.set_result(self.take())
