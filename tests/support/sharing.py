"""Proxies that share rate limits by a store, on a clock that a test moves on."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Any

from proxy.ground.errors import StoreError
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.sharedlimits import Leases
from tests.support.clock import Timeline
from tests.support.samples import make_endpoint

PATIENCE = 4.0  # seconds for which the proxies wait for the store
LIMIT = 600  # calls in a minute
ENDPOINT = make_endpoint(requests_per_minute=LIMIT)


class SharedNote:
    """What all links lead to."""

    content: dict[str, Any] | None = None
    changes = 0


class Link:
    """Notes as one proxy reaches them: they take a while, and others are first sometimes.

    They fail when told to, at once or not before they are back; then what was asked may be done.
    """

    def __init__(self, time: Timeline, note: SharedNote, seconds: float) -> None:
        self.note = note
        self.seconds = seconds
        self.is_away = False
        self.is_stuck = False
        self._time = time

    async def change(self, name: str, change: Any, *, start: Any = None) -> Any:
        changing = asyncio.ensure_future(self._change(change, start))
        waiting = asyncio.ensure_future(self._time.sleep(PATIENCE))
        await asyncio.wait({changing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if changing.done():
            return changing.result()
        changing.add_done_callback(asyncio.Future.exception)  # it is made late, or not at all
        raise TimeoutError

    async def _change(self, change: Any, start: Any) -> Any:
        while True:
            await self._pass()
            read = self.note.content
            changed = change(dict(start if read is None else read))
            await self._pass()
            if self.note.content is read:
                self.note.content = changed
                self.note.changes += 1
                await self._pass()
                return changed

    async def _pass(self) -> None:
        await self._time.sleep(self.seconds / 3)
        while self.is_stuck:
            await self._time.sleep(0.1)
        if self.is_away:
            raise StoreError("away")


class World:
    """Proxies that share a store, and when their calls leave."""

    def __init__(self) -> None:
        self.time = Timeline()
        self.note = SharedNote()
        self.seconds = 0.03  # for a change
        self.links: list[Link] = []
        self.left: list[float] = []
        self._leases: list[Leases] = []
        self._callers: list[list[asyncio.Task[None]]] = []

    def proxy(self, fast: float = 0.0, capacity: int = 0) -> RateLimiter:
        """A proxy whose clock is so many seconds fast."""
        link = Link(self.time, self.note, self.seconds)
        leases = Leases(
            link,  # type: ignore[arg-type]  # the only method that is used
            clock=self.time,
            sleep=self.time.sleep,
            wall_clock=lambda: self.time() + fast,
        )
        self.links.append(link)
        self._leases.append(leases)
        self._callers.append([])
        return RateLimiter(capacity, leases.pace_of)

    def busy(self, count: int, callers: int = 8, endpoint: Any = ENDPOINT) -> None:
        """So many more proxies, each with more calls than it may make."""
        for _ in range(count):
            self.keep_calling(self.proxy(), callers, endpoint=endpoint)

    async def call(self, limiter: RateLimiter, endpoint: Any = ENDPOINT) -> None:
        if not limiter.take_turn(endpoint):
            limiter.check_room(endpoint)
            await limiter.wait(endpoint)
        self.left.append(self.time())

    def keep_calling(
        self,
        limiter: RateLimiter,
        callers: int = 8,
        pause: float = 0.0,
        endpoint: Any = ENDPOINT,
    ) -> None:
        """Have the proxy that was made last called all the time."""

        async def keep() -> None:
            while True:
                await self.call(limiter, endpoint)
                await self.time.sleep(pause + 0.001)

        self._callers[-1] += [asyncio.ensure_future(keep()) for _ in range(callers)]

    def be_away(self, is_away: bool, *numbers: int) -> None:
        """Have the store be away, or not any more, for these proxies, or for all."""
        for number in numbers or range(len(self.links)):
            self.links[number].is_away = is_away

    def be_stuck(self, is_stuck: bool, *numbers: int) -> None:
        """The same of a store that keeps silent."""
        for number in numbers or range(len(self.links)):
            self.links[number].is_stuck = is_stuck

    async def kill(self, number: int) -> None:
        """End a proxy, which cannot say so."""
        self.links[number].is_away = True
        await self.end(number)

    async def end(self, number: int) -> None:
        for task in self._callers[number]:
            task.cancel()
        await asyncio.gather(*self._callers[number], return_exceptions=True)
        closing = asyncio.ensure_future(self._leases[number].close())
        await self.time.advance(1.0)
        await closing

    async def close(self) -> None:
        for number in range(len(self.links)):
            self.links[number].is_stuck = False
            await self.end(number)

    @property
    def most_in_a_minute(self) -> int:
        left = self.left
        return max(bisect_left(left, at + 60.0) - number for number, at in enumerate(left))

    def used(self, seconds: float) -> float:
        """The part of the limit that was used, all in all."""
        return len(self.left) / (seconds * LIMIT / 60)

    def least_used(self, since: float, until: float, seconds: float = 60.0) -> float:
        """The same in that time of so many seconds in which it is the smallest."""
        begins = [since, *(at + 1e-9 for at in self.left if since < at <= until - seconds)]
        left = self.left
        counts = [bisect_left(left, at + seconds) - bisect_left(left, at) for at in begins]
        return min(counts) / (seconds * LIMIT / 60)
