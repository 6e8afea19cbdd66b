"""What a process counts of its own work. No I/O: `proxy.admin` shows it.

Labels are taken from closed sets only (routes, tasks, statuses, limits): nothing that callers or
providers choose freely, no inference id, and nothing secret.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

# Upper bounds in seconds; whatever takes longer is counted in one more.
BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
BUCKETS_AND_MORE: Final = len(BUCKETS) + 1


class Counter:
    """A number that only grows, for each combination of labels."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.values: dict[tuple[str, ...], float] = defaultdict(float)

    def add(self, *labels: str, by: float = 1.0) -> None:
        self.values[labels] += by


class Timer:
    """How often something took how long, for each combination of labels."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.counts: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * BUCKETS_AND_MORE)
        self.sums: dict[tuple[str, ...], float] = defaultdict(float)

    def add(self, *labels: str, seconds: float) -> None:
        self.counts[labels][bisect_left(BUCKETS, seconds)] += 1
        self.sums[labels] += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A figure that somebody else keeps, read when it is shown."""

    name: str
    text: str
    read: Callable[[], float]
    grows: bool = False  # whether it is a counter
    labels: tuple[tuple[str, str], ...] = ()


class ProviderCall:
    """A call under way; `status` is what came of it."""

    status = "failed"  # no answer: not reached, broken off, or not waited for


class Metrics:
    """All figures of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.requests = Counter(
            "requests", "Requests that the application has answered", "route", "status"
        )
        self.request_seconds = Timer(
            "request_seconds", "Time until the last byte of the answer was written", "route"
        )
        self.limits_hit = Counter("limits_hit", "Requests refused because of a limit", "limit")
        self.provider_calls = Counter("provider_calls", "Calls to providers", "task", "status")
        self.provider_seconds = Timer(
            "provider_seconds", "Time until the last byte of a provider's reply", "task"
        )
        self.provider_retries = Counter(
            "provider_retries", "Calls to providers that repeat a failed one", "task"
        )
        self.rate_limit_waits = Counter(
            "rate_limit_waits", "Calls that waited for their endpoint's rate limit"
        )
        self.rate_limit_wait_seconds = Counter(
            "rate_limit_wait_seconds", "Time that they waited, together"
        )
        self.readings: list[Reading] = []
        for unlabelled in (self.rate_limit_waits, self.rate_limit_wait_seconds):
            unlabelled.add(by=0.0)  # shown from the start

    @property
    def counters(self) -> tuple[Counter, ...]:
        return (
            *(self.requests, self.limits_hit, self.provider_calls, self.provider_retries),
            *(self.rate_limit_waits, self.rate_limit_wait_seconds),
        )

    @property
    def timers(self) -> tuple[Timer, ...]:
        return self.request_seconds, self.provider_seconds

    @asynccontextmanager
    async def provider_call(self, task: str) -> AsyncIterator[ProviderCall]:
        """Counts a call to its end, however it ends."""
        call, started = ProviderCall(), self._clock()
        try:
            yield call
        finally:
            self.provider_calls.add(task, call.status)
            self.provider_seconds.add(task, seconds=self._clock() - started)

    @contextmanager
    def rate_limit_wait(self) -> Iterator[None]:
        """Counts a wait, if there is any."""
        started = self._clock()
        try:
            yield
        finally:
            waited = self._clock() - started
            if waited > 0.001:
                self.rate_limit_waits.add()
                self.rate_limit_wait_seconds.add(by=waited)
