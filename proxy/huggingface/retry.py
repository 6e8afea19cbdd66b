"""How often a failed call is tried again, and after what wait.

Source: RetryingHttpSender, RetrySettings: three attempts, doubling waits, each drawn from the upper
half of its bound. Unlike Elasticsearch, a wait that the provider asks for is kept if it fits.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.ground.errors import ProxyError
from proxy.ground.lateness import HeldUp
from proxy.limits.deadline import Deadline

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller sees of an attempt that failed, and whether another one may succeed."""

    error: ProxyError
    may_pass: bool = False
    retry_after: float | None = None  # seconds that the provider asks to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How many attempts a call has, and the waits between them; seconds."""

    attempts: int = 3
    initial_delay: float = 1.0
    max_delay: float = 5.0
    timeout: float = 30.0  # no attempt begins after it
    sleep: Sleep = asyncio.sleep
    clock: Clock = time.monotonic

    def start(self, deadline: Deadline) -> Retries:
        """The retries of one call whose first attempt is made now."""
        return Retries(self, deadline)


class Retries:
    """The retries of one call: its attempts are counted, and its waits double."""

    def __init__(self, policy: RetryPolicy, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline
        self._end = policy.clock() + policy.timeout
        self._bound = policy.initial_delay
        self.failed = 0  # attempts

    async def wait(self, failure: Failure) -> None:
        """Return when the call is to be tried again. Raises: the failure's error if it is not."""
        self.failed += 1
        delay = max(random.uniform(self._bound / 2, self._bound), failure.retry_after or 0.0)
        if not failure.may_pass or not self._may_wait(delay, failure.retry_after):
            raise failure.error
        with HeldUp(failure.error.advice):
            await self._policy.sleep(delay)
        self._bound = min(self._bound * 2, self._policy.max_delay)

    def _may_wait(self, delay: float, asked: float | None) -> bool:
        policy = self._policy
        if self.failed == policy.attempts or policy.clock() + delay > self._end:
            return False
        # A wait that outlasts the request would hide what the provider said behind a timeout.
        return not asked or asked <= self._deadline.seconds_left(policy.clock)
