"""Rate limits of provider calls.

A token bucket of one: calls leave evenly spaced, and one that comes too early waits for its turn in
a queue of bounded length.
Source: RequestExecutorService, RateLimiter.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from proxy.ground.errors import Rejected
from proxy.huggingface.retry import Clock, Sleep
from proxy.inference.endpoints import InferenceEndpoint

_MANY: Final = 1000  # groups; idle ones are dropped beyond that


class _Group:
    """Endpoints that share a URL, a token and a limit."""

    def __init__(self, interval: float) -> None:
        self.interval = interval  # seconds between two calls
        self.next_start = 0.0
        self.waiting = 0
        self.turn = asyncio.Lock()  # first come, first served


class RateLimiter:
    """Spaces the calls of each group of endpoints; one per process."""

    def __init__(
        self, capacity: int, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._capacity = capacity
        self._clock = clock
        self._sleep = sleep
        self._groups: dict[int, _Group] = {}  # by the hash, as URLs and tokens may be long
        self._many = _MANY

    @property
    def waiting(self) -> int:
        """Calls in all queues."""
        return sum(group.waiting for group in self._groups.values())

    def is_free(self, endpoint: InferenceEndpoint) -> bool:
        """Whether the endpoint's next call may leave at once; it counts as having left."""
        group, now = self._group(endpoint), self._clock()
        if group.waiting or group.next_start > now:
            return False
        group.next_start = now + group.interval
        return True

    def check_room(self, endpoint: InferenceEndpoint, others: int = 0) -> None:
        """Raises: Rejected if as many calls wait, or as many `others`, as may."""
        group = self._group(endpoint)
        if max(group.waiting, others) >= self._capacity > 0:
            raise Rejected(
                f"Failed to execute task for inference id [{endpoint.inference_id}] because the "
                f"request service [{id(group):x}] queue is full",
                "queue",
            )

    async def wait(self, endpoint: InferenceEndpoint, *, bounded: bool = True) -> None:
        """Return when the endpoint's next call may leave.

        Raises: Rejected if the queue is full, and that matters.
        """
        if bounded:
            self.check_room(endpoint)
        group = self._group(endpoint)
        group.waiting += 1
        try:
            async with group.turn:
                if (delay := group.next_start - self._clock()) > 0:
                    await self._sleep(delay)
                group.next_start = self._clock() + group.interval
        finally:
            group.waiting -= 1

    def _group(self, endpoint: InferenceEndpoint) -> _Group:
        settings = endpoint.service_settings
        limit = settings.requests_per_minute
        key = hash((settings.url, endpoint.secret_settings.api_key, limit))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._many:
                self._drop_idle()
                self._many = max(_MANY, 2 * len(self._groups))
            group = self._groups[key] = _Group(60.0 / limit)
        return group

    def _drop_idle(self) -> None:
        now = self._clock()
        self._groups = {
            key: group
            for key, group in self._groups.items()
            if group.waiting or group.next_start > now
        }
