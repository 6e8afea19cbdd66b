"""The figures of one process, kept by Prometheus' client library; `proxy.admin` shows them.

Label values come from closed sets (routes, task types, statuses, states, limits), never from what
callers or providers choose, but for the ids of so many endpoints; nothing is secret. Statuses that
are not among the usual ones are shown by their class.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from proxy.telemetry.counts import Counts, Times
from proxy.telemetry.endpointfigures import EndpointFigures
from proxy.telemetry.endpoints import Endpoints

PREFIX: Final = "hfproxy"  # of every name, followed by an underscore
# Upper bounds in seconds; the library adds one for all that takes longer.
BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
USUAL_STATUSES: Final = frozenset(
    (
        *("200", "201", "400", "401", "403", "404", "405", "406", "408", "409", "413", "415"),
        *("422", "429", "500", "502", "503", "504", "failed", "broken_off"),
    )
)
NO_WAIT: Final = 0.001  # seconds; a shorter one at a rate limit is not counted as a wait

# Else each series gets a second one with the time of its first count. (It has no annotations.)
disable_created_metrics()  # type: ignore[no-untyped-call]


class ProviderCall:
    """A call under way, counted when this is left, however it ends.

    `status` is the reply's, as text, once its head has come.
    """

    status = "failed"  # no reply: not reached, broken off, or not waited for

    def __init__(self, metrics: Metrics, task: str) -> None:
        self._metrics = metrics
        self._task = task

    def __enter__(self) -> ProviderCall:
        self._started = self._metrics.clock()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self._metrics.clock() - self._started
        self._metrics.count_provider_call(self._task, self.status, self.seconds)


class RateLimitWait:
    """A wait at a rate limit, counted if it takes longer than NO_WAIT."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        self._started = self._metrics.clock()

    def __exit__(self, *_: object) -> None:
        seconds = self._metrics.clock() - self._started
        if seconds > NO_WAIT:
            self._metrics.count_rate_limit_wait(seconds)


class Metrics:
    """Counts what the application does; `registry` holds the figures, `endpoints` those of each.

    What every request counts is kept in `Counts` and `Times`, all else by the library's collectors.
    """

    def __init__(
        self, endpoints: Endpoints, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.endpoints = endpoints
        self.registry = CollectorRegistry()
        self._requests = self.counts(
            "requests", "Requests that the application has answered", "route", "status"
        )
        self._limits_hit = self.counts("limits_hit", "Requests refused because of a limit", "limit")
        self._provider_calls = self.counts("provider_calls", "Calls to providers", "task", "status")
        self._provider_retries = self.counts(
            "provider_retries", "Calls to providers that repeat a failed one", "task"
        )
        self._rate_limit_waits = self._counter(
            "rate_limit_waits", "Calls that waited for their endpoint's rate limit"
        )
        self._rate_limit_wait_seconds = self._counter(
            "rate_limit_wait_seconds", "Time that they waited, together"
        )
        self._request_seconds = self._times(
            "request_seconds", "Time until the last byte of the answer was written", "route"
        )
        self._provider_seconds = self._times(
            "provider_seconds", "Time until the last byte of a provider's reply", "task"
        )
        self.registry.register(EndpointFigures(self.endpoints, PREFIX))
        ProcessCollector(registry=self.registry)

    def count_request(self, route: str, status: str, seconds: float) -> None:
        """One more request is answered, `seconds` after it came."""
        self._requests.add(route, _shown_status(status))
        self._request_seconds.add(route, seconds)

    def count_limit(self, limit: str) -> None:
        """One more request is refused because of `limit`, a key of the section `limits`."""
        self._limits_hit.add(limit)

    def count_retry(self, task: str) -> None:
        """One more call to a provider repeats a failed one."""
        self._provider_retries.add(task)

    def count_provider_call(self, task: str, status: str, seconds: float) -> None:
        """One more call to a provider has ended."""
        self._provider_calls.add(task, _shown_status(status))
        self._provider_seconds.add(task, seconds)

    def rate_limit_wait(self) -> RateLimitWait:
        """Count the block as a wait if it takes longer than NO_WAIT."""
        return RateLimitWait(self)

    def count_rate_limit_wait(self, seconds: float) -> None:
        """One more call has waited for its endpoint's rate limit."""
        self._rate_limit_waits.inc()
        self._rate_limit_wait_seconds.inc(seconds)

    def add_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a figure that another part keeps, read whenever the figures are shown."""
        Gauge(name, text, namespace=PREFIX, registry=self.registry).set_function(read)

    def add_counter(
        self, name: str, text: str, label: str, reads: Mapping[str, Callable[[], int]]
    ) -> None:
        """Show counts that another part keeps, one for each value of `label`."""
        self.registry.register(_CountedElsewhere(f"{PREFIX}_{name}", text, label, reads))

    def counts(self, name: str, text: str, *labels: str) -> Counts:
        """A counter that is shown with the other figures."""
        made = Counts(f"{PREFIX}_{name}", text, labels)
        self.registry.register(made)
        return made

    def _counter(self, name: str, text: str) -> Counter:
        """The same without labels, which is shown from the beginning."""
        return Counter(name, text, namespace=PREFIX, registry=self.registry)

    def _times(self, name: str, text: str, label: str) -> Times:
        made = Times(f"{PREFIX}_{name}", text, label, BUCKETS)
        self.registry.register(made)
        return made


def _shown_status(status: str) -> str:
    """The status, or, if it is none of the usual ones, its class: `4xx`, or `other`."""
    if status in USUAL_STATUSES:
        return status
    return f"{status[0]}xx" if len(status) == 3 and status[0] in "12345" else "other"


class _CountedElsewhere(Collector):
    """A counter whose values are read when shown: the library has that for gauges only."""

    def __init__(
        self, name: str, text: str, label: str, reads: Mapping[str, Callable[[], int]]
    ) -> None:
        self._name, self._text, self._label, self._reads = name, text, label, reads

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, read in self._reads.items():
            family.add_metric([value], read())
        return [family]
