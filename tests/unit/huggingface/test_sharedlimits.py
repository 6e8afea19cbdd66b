"""Several proxies that share rate limits, on a clock that a test moves on."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from typing import Any

import pytest

from proxy.ground.errors import Rejected, StoreError
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.sharedlimits import Leases
from tests.support.clock import Timeline
from tests.support.samples import make_endpoint

LIMIT = 600
ENDPOINT = make_endpoint(requests_per_minute=LIMIT)


class SlowNotes:
    """Notes that take a while, for which others are first sometimes; they fail when told to."""

    def __init__(self, time: Timeline, seconds: float = 0.03) -> None:
        self.content: dict[str, Any] | None = None
        self.is_away = False
        self.changes = 0
        self._time = time
        self.seconds = seconds

    async def change(self, name: str, change: Any, *, start: Any = None) -> Any:
        while True:
            await self._pass()
            read = self.content
            changed = change(dict(start if read is None else read))
            await self._pass()
            if self.content is read:
                self.content = changed
                self.changes += 1
                return changed

    async def _pass(self) -> None:
        await self._time.sleep(self.seconds / 2)
        if self.is_away:
            raise StoreError("away")


class World:
    """Proxies that share a store, and when their calls leave."""

    def __init__(self) -> None:
        self.time = Timeline()
        self.notes = SlowNotes(self.time)
        self.leases: list[Leases] = []
        self.left: list[float] = []
        self._callers: list[asyncio.Task[None]] = []

    def proxy(self, fast: float = 0.0, capacity: int = 0) -> RateLimiter:
        """A proxy whose clock is so many seconds fast."""
        leases = Leases(
            self.notes,  # type: ignore[arg-type]  # the only method that is used
            clock=self.time,
            sleep=self.time.sleep,
            wall_clock=lambda: self.time() + fast,
        )
        self.leases.append(leases)
        return RateLimiter(capacity, leases.pace_of)

    async def call(self, limiter: RateLimiter, endpoint: Any = ENDPOINT) -> None:
        if not limiter.is_free(endpoint):
            await limiter.wait(endpoint)
        self.left.append(self.time())

    def keep_calling(self, limiter: RateLimiter, callers: int = 8, pause: float = 0.0) -> None:
        async def keep(number: int) -> None:
            while True:
                await self.call(limiter)
                await self.time.sleep(pause + 0.001)

        self._callers += [asyncio.ensure_future(keep(number)) for number in range(callers)]

    async def close(self) -> None:
        for task in self._callers:
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        for one in self.leases:
            await one.close()

    @property
    def most_in_a_minute(self) -> int:
        left = self.left
        return max(bisect_left(left, at + 60.0) - number for number, at in enumerate(left))

    def used(self, seconds: float) -> float:
        return len(self.left) / (seconds * LIMIT / 60)


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.close()


@pytest.mark.parametrize("count", [1, 3, 8])
async def test_all_proxies_together_keep_the_limit_and_use_it(world, count):
    for _ in range(count):
        world.keep_calling(world.proxy())
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


@pytest.mark.parametrize("seconds", [0.6, 1.8])
async def test_so_they_do_with_a_slow_store(world, seconds):
    world.notes.seconds = seconds
    for _ in range(3):
        world.keep_calling(world.proxy(), callers=30)
    await world.time.advance(10.0)
    world.left.clear()
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


async def test_so_they_do_with_clocks_that_differ(world):
    for fast in (0.0, 3.0, -40.0):
        world.keep_calling(world.proxy(fast))
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


async def test_so_they_do_when_some_come_later_and_others_have_little_to_do(world):
    world.keep_calling(world.proxy(), callers=30)
    world.keep_calling(world.proxy(), callers=1, pause=1.0)
    await world.time.advance(40.0)
    world.keep_calling(world.proxy())
    await world.time.advance(100.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(140.0) >= 0.95


async def test_the_note_is_not_written_for_each_call(world):
    world.keep_calling(world.proxy(), callers=1, pause=0.2)
    await world.time.advance(30.0)
    assert len(world.left) > 100
    assert world.notes.changes < 60


async def test_who_calls_now_and_then_waits_for_the_store_only(world):
    limiter = world.proxy()
    for _ in range(3):
        began = world.time()
        calling = asyncio.ensure_future(world.call(limiter))
        await world.time.advance(0.04)
        assert calling.done()
        assert world.left[-1] - began < 0.04
        await world.time.advance(10.0)


async def test_a_limit_of_few_calls_is_shared_too(world):
    endpoint = make_endpoint(requests_per_minute=6)
    proxies = [world.proxy(), world.proxy()]
    calls = [asyncio.ensure_future(world.call(one, endpoint)) for one in proxies * 10]
    await world.time.advance(200.0)
    assert world.most_in_a_minute <= 6
    assert len(world.left) >= 19
    assert not [call for call in calls if call.done() and call.exception()]


async def test_each_proxy_keeps_to_its_part_while_the_store_is_away(world, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        world.keep_calling(world.proxy())
    await world.time.advance(20.0)
    world.notes.is_away = True
    await world.time.advance(120.0)
    away = [at for at in world.left if at > world.time() - 100]
    assert 0.9 * 1000 / 1.025 <= len(away) <= 1000
    assert caplog.text.count("keeping to one part in 3 of each") == 3
    world.notes.is_away = False
    await world.time.advance(60.0)
    assert caplog.text.count("are shared again") == 3
    assert world.most_in_a_minute <= LIMIT
    back = [at for at in world.left if at > world.time() - 30]
    assert len(back) >= 0.95 * 300


async def test_a_store_that_is_stuck_is_away_no_later(world):
    for _ in range(3):
        world.keep_calling(world.proxy())
    await world.time.advance(20.0)
    world.notes.is_away, world.notes.seconds = True, 8.0  # half of it, as long as it is waited for
    stuck = world.time()
    await world.time.advance(30.0)
    assert min(at for at in world.left if at > stuck + 2.0) < stuck + 10.0
    world.notes.is_away, world.notes.seconds = False, 0.03
    await world.time.advance(60.0)
    assert world.most_in_a_minute <= LIMIT


async def test_a_hiccup_of_the_store_makes_nobody_call_more(world):
    for _ in range(3):
        world.keep_calling(world.proxy())
    for _ in range(10):
        await world.time.advance(8.0)
        world.notes.is_away = True
        await world.time.advance(3.0)
        world.notes.is_away = False
    assert world.most_in_a_minute <= LIMIT


async def test_the_line_has_an_end(world):
    limiter = world.proxy(capacity=2)
    endpoint = make_endpoint(requests_per_minute=1)
    calls = [asyncio.ensure_future(world.call(limiter, endpoint)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Rejected) as caught:
        await world.call(limiter, endpoint)
    assert ("Retry-After", "1") in caught.value.headers
    for call in calls:
        call.cancel()


async def test_who_leaves_the_line_costs_the_others_nothing(world):
    limiter = world.proxy()
    endpoint = make_endpoint(requests_per_minute=60)
    calls = [asyncio.ensure_future(world.call(limiter, endpoint)) for _ in range(4)]
    await world.time.advance(0.5)
    calls[1].cancel()
    await world.time.advance(3.0)
    assert len(world.left) == 3
