"""Trying a provider call again.

Source: RetryingHttpSender, RetrySettings: three attempts, doubling waits, each drawn from the upper
half of its bound. `Retry-After` is honoured when it fits, which Elasticsearch does not do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from proxy.errors import ProxyError
from proxy.limits.deadline import request_ends

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


class Retryable(Exception):
    """A failure that may pass; `error` is what the caller sees when it does not."""

    def __init__(self, error: ProxyError, after: float | None = None) -> None:
        super().__init__(error.reason)
        self.error = error
        self.after = after  # seconds that the provider asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after what waits; seconds."""

    attempts: int = 3
    initial_delay: float = 1.0
    max_delay: float = 5.0
    timeout: float = 30.0  # no new attempt after it
    sleep: Sleep = asyncio.sleep
    clock: Clock = time.monotonic

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of `attempt`, tried until it succeeds, fails for good, or time is up.

        Raises: the last Retryable's error, or whatever else `attempt` raises, at once.
        """
        deadline, bound = self.clock() + self.timeout, self.initial_delay
        for left in reversed(range(self.attempts)):
            try:
                return await attempt()
            except Retryable as failure:
                delay = max(random.uniform(bound / 2, bound), failure.after or 0.0)
                late = self.clock() + delay > deadline
                # Waiting for nothing would hide what the provider said behind a timeout.
                too_late = failure.after and self.clock() + failure.after > request_ends.get()
                if not left or late or too_late:
                    raise failure.error from None
            await self.sleep(delay)
            bound = min(bound * 2, self.max_delay)
        raise AssertionError("unreachable")
