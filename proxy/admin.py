"""For whoever runs the proxy: `/livez`, `/readyz` and `/metrics`, on a listener of their own.

There the proxied path space stays whole, and callers have no way to it. Nothing there is secret,
and nobody is asked who they are: the default address is this machine's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.api import LIMIT, ROUTE, Handler
from proxy.config import Config, ConfigError, split_address
from proxy.errors import ProxyError
from proxy.metrics import BUCKETS, Counter, Metrics, Reading, Timer

if TYPE_CHECKING:
    from prometheus_client.core import Metric

DEFAULT_ADDRESS: Final = "127.0.0.1:9280"
CHECK_TIMEOUT: Final = 5.0  # seconds
Check = Callable[[], Awaitable[object]]

METRICS: Final = web.AppKey("metrics", Metrics)
_PREFIX: Final = "hfproxy_"


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts what the application answers; the outermost of its middlewares."""
    metrics, started = request.app[METRICS], monotonic()
    status = "broken_off"  # by the caller, or by us amid an answer
    try:
        response = await handler(request)
        status = str(response.status)
        return response
    finally:
        route = request.get(ROUTE, "other")
        metrics.requests.add(route, status)
        metrics.request_seconds.add(route, seconds=monotonic() - started)
        if LIMIT in request:
            metrics.limits_hit.add(request[LIMIT])


class Admin:
    """Answers on the admin listener. `checks` are what `/readyz` asks, by name."""

    def __init__(self, metrics: Metrics, checks: Mapping[str, Check]) -> None:
        self._metrics = metrics
        self._checks = checks
        self.draining = False
        self.port: int | None = None  # where it listens

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show)
        return app

    async def _livez(self, _: web.Request) -> web.Response:
        """The event loop runs, or there would be no answer."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        """200 when requests can be served to their end, else 503 and what hinders them."""
        names = list(self._checks)
        found = await asyncio.gather(*(_checked(self._checks[name]) for name in names))
        state = dict(zip(names, found, strict=True))
        if self.draining:
            state["proxy"] = "stopping"
        ready = set(state.values()) <= {"ok"}
        body = {"status": "ok" if ready else "unavailable", **state}
        return web.json_response(body, status=200 if ready else 503)

    async def _show(self, _: web.Request) -> web.Response:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry()
        registry.register(_Collector(self._metrics))
        ProcessCollector(registry=registry)
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


async def _checked(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except ProxyError as error:
        return error.reason
    except TimeoutError:
        return "no answer in time"
    return "ok"


class _Collector:
    """The figures in the client library's form."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        for counter in self._metrics.counters:
            yield _counter(counter)
        for timer in self._metrics.timers:
            yield _histogram(timer)
        yield from _readings(self._metrics.readings)


def _counter(counter: Counter) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(_PREFIX + counter.name, counter.text, labels=counter.labels)
    for labels, value in sorted(counter.values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(timer: Timer) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(_PREFIX + timer.name, timer.text, labels=timer.labels)
    for labels, counts in sorted(timer.counts.items()):
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, timer.sums[labels])
    return family


def _readings(readings: Iterable[Reading]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for reading in readings:
        names, values = [name for name, _ in reading.labels], [text for _, text in reading.labels]
        kind = CounterMetricFamily if reading.grows else GaugeMetricFamily
        if reading.name not in families:
            families[reading.name] = kind(_PREFIX + reading.name, reading.text, labels=names)
        families[reading.name].add_metric(values, reading.read())
    return families.values()


# Listening


def admin_ports(config: Config) -> list[int]:
    """Ports that the workers' admin listeners may have; none if that is off, or left to chance."""
    if config.admin.listen == "":
        return []
    _, port = split_address(config.admin.listen or DEFAULT_ADDRESS)
    return list(range(port, min(port + config.workers, 65536))) if port else []


@asynccontextmanager
async def admin_listening(config: Config, admin: Admin) -> AsyncIterator[str]:
    """Admin requests are answered; yields a line that says where, or why not.

    Each worker takes the next free port, so that each can be asked for its own figures.
    Raises: ConfigError when an address that was configured cannot be had.
    """
    if config.admin.listen == "":
        yield "no metrics: [admin.listen] is empty"
        return
    runner = web.AppRunner(admin.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield await _bound(config, runner, admin)
    finally:
        await runner.cleanup()


async def _bound(config: Config, runner: web.AppRunner, admin: Admin) -> str:
    address = config.admin.listen or DEFAULT_ADDRESS
    host, _ = split_address(address)
    reason = ""
    for port in admin_ports(config) or [0]:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        found = runner.addresses[0]
        admin.port = found[1]
        return f"metrics on http://{found[0]}:{found[1]}/metrics"
    if config.admin.listen is None:
        return f"no metrics: cannot listen on [{address}]: {reason}; see [admin.listen]"
    raise ConfigError(f"[admin.listen] cannot listen on [{address}]: {reason}")
