"""Rate limits of provider calls.

A token bucket of one: calls leave evenly spaced, and one that comes too early waits for its turn in
a queue of bounded length. Unlike Elasticsearch's, all wait when the provider asks for a pause.
Source: RequestExecutorService, RateLimiter.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from proxy.ground.errors import Rejected
from proxy.huggingface.retry import Clock, Sleep
from proxy.inference.endpoints import InferenceEndpoint

_MANY: Final = 1000  # groups; idle ones are dropped beyond that
# Seconds that a provider may ask for; after longer ones, requests would only run late.
_LONGEST_REST: Final = 5.0


class Pace(ABC):
    """When the calls of a group leave: endpoints that share a URL, a token and a limit."""

    def __init__(self) -> None:
        self.waiting = 0
        self.turn = asyncio.Lock()  # first come, first served

    @abstractmethod
    def take(self) -> bool:
        """Whether a call may leave at once; it counts as having left."""

    @abstractmethod
    async def wait(self) -> None:
        """Return when a call may leave, which counts as having left; for one at a time."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether it may be forgotten, as a new one would do the same."""


class _EvenPace(Pace):
    """As many calls as the limit says, all of this process."""

    def __init__(self, interval: float, clock: Clock, sleep: Sleep) -> None:
        super().__init__()
        self._interval = interval  # seconds between two calls
        self._next_start = 0.0
        self._clock = clock
        self._sleep = sleep

    def take(self) -> bool:
        now = self._clock()
        if self._next_start > now:
            return False
        self._next_start = now + self._interval
        return True

    async def wait(self) -> None:
        if (delay := self._next_start - self._clock()) > 0:
            await self._sleep(delay)
        self._next_start = self._clock() + self._interval

    @property
    def is_idle(self) -> bool:
        return self._next_start <= self._clock()


class RateLimiter:
    """Lets the calls of each group of endpoints leave at its pace; one per process.

    `pace_of` makes the pace for a group that is new, by one of its endpoints.
    """

    def __init__(
        self,
        capacity: int,
        pace_of: Callable[[InferenceEndpoint], Pace] | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        def even(endpoint: InferenceEndpoint) -> Pace:
            return _EvenPace(60.0 / endpoint.service_settings.requests_per_minute, clock, sleep)

        self._capacity = capacity
        self._clock = clock
        self._sleep = sleep
        self._pace_of = pace_of or even
        self._groups: dict[int, Pace] = {}  # by the hash, as URLs and tokens may be long
        self._many = _MANY
        self._rests: dict[int, float] = {}  # by group, when its provider may be called again

    @property
    def waiting(self) -> int:
        """Calls in all queues."""
        return sum(group.waiting for group in self._groups.values())

    def take_turn(self, endpoint: InferenceEndpoint) -> bool:
        """Whether the endpoint's next call may leave at once; it counts as having left."""
        if self.is_resting(endpoint):
            return False
        group = self._group(endpoint)
        return not group.waiting and group.take()

    def let_rest(self, endpoint: InferenceEndpoint, seconds: float) -> None:
        """The provider asks for so much time without a call, unless that is too long to wait."""
        if seconds > _LONGEST_REST:
            return
        now, key = self._clock(), _key(endpoint)
        self._rests = {one: end for one, end in self._rests.items() if end > now}
        self._rests[key] = max(self._rests.get(key, 0.0), now + seconds)

    def is_resting(self, endpoint: InferenceEndpoint) -> bool:
        """Whether the provider has asked for no call now."""
        return bool(self._rests) and self._rest_of(endpoint) > 0

    async def rest(self, endpoint: InferenceEndpoint) -> None:
        """Return when the provider may be called, which does not count as a call."""
        while (seconds := self._rest_of(endpoint)) > 0:
            await self._sleep(seconds)

    def _rest_of(self, endpoint: InferenceEndpoint) -> float:
        return self._rests.get(_key(endpoint), 0.0) - self._clock()

    def check_room(self, endpoint: InferenceEndpoint, others: int = 0) -> None:
        """Raises: Rejected if as many calls wait, or as many `others`, as may."""
        group = self._group(endpoint)
        if max(group.waiting, others) >= self._capacity > 0:
            raise Rejected(
                f"Failed to execute task for inference id [{endpoint.inference_id}] because the "
                f"request service [{id(group):x}] queue is full",
                "queue",
            )

    async def wait(self, endpoint: InferenceEndpoint) -> None:
        """Return when the endpoint's next call may leave, however many wait: see `check_room`."""
        group = self._group(endpoint)
        group.waiting += 1
        try:
            async with group.turn:
                await self.rest(endpoint)
                await group.wait()
        finally:
            group.waiting -= 1

    def _group(self, endpoint: InferenceEndpoint) -> Pace:
        key = _key(endpoint)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._many:
                self._drop_idle()
                self._many = max(_MANY, 2 * len(self._groups))
            group = self._groups[key] = self._pace_of(endpoint)
        return group

    def _drop_idle(self) -> None:
        self._groups = {
            key: group for key, group in self._groups.items() if group.waiting or not group.is_idle
        }


def _key(endpoint: InferenceEndpoint) -> int:
    """Of its group."""
    settings = endpoint.service_settings
    return hash((settings.url, endpoint.secret_settings.api_key, settings.requests_per_minute))
