"""One process that serves: it accepts connections, reports, drains and stops."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import math
import os
import resource
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.admin import Health, admin_application, admin_listening
from proxy.app import Parts, make_parts
from proxy.config import Config, ConfigError, UpstreamConfig, split_address
from proxy.ground.epoch import Epoch
from proxy.ground.tlsfailures import TlsProbe
from proxy.lane import Lane, Patience
from proxy.serving.callertls import CallerTls
from proxy.serving.garbage import QuietCollection
from proxy.serving.summary import report_start
from proxy.upstream.tls import connection_problem, upstream_tls

log = logging.getLogger(__name__)
_SWITCH_INTERVAL = 0.001  # seconds; Python's own are five times as many
# Of glibc's mallopt: what is larger than the first has pages of its own, and all threads use one
# heap. By itself, glibc raises that bound to 32 MiB, and keeps what smaller pieces leave between.
# The end of the heap is kept, as every read of a connection takes 256 KiB for a moment.
_MALLOC_OPTIONS = {-3: 1024 * 1024, -8: 1, -1: 16 * 1024 * 1024}  # MMAP_THRESHOLD, ARENA_MAX, TRIM


async def serve(
    config: Config,
    ready: Callable[[], None] = lambda: None,
    *,
    reuse_port: bool = False,
    reports: bool = True,
    epoch: Epoch | None = None,
) -> None:
    """Accept connections until SIGTERM or SIGINT, then finish what is under way.

    Calls `ready` once connections are accepted. `reports`: whether the log tells what is served,
    which one of several workers is enough for. `epoch` is what all of them share.
    Raises: ConfigError, KeyMismatch, OSError when the address cannot be had.
    """
    _raise_file_limit()
    _let_the_loop_run()
    _give_memory_back()
    stop = _stop_signal()
    tls = CallerTls.of(config.tls)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _renew, tls)
    parts = make_parts(config, epoch)
    health = Health(parts.checks)
    async with (
        admin_listening(config, admin_application(health, parts.metrics)) as admin,
        _listening(parts, config, reuse_port, tls.context if tls else None) as address,
    ):
        if admin.port is not None:
            parts.egress.protect_port(admin.port)
        url = f"{'https' if tls else 'http'}://{address}"
        _announce(f"listening on {url}")
        ready()
        log.info(admin.report)
        async with asyncio.TaskGroup() as group:
            report = group.create_task(_report_safely(config, parts, url, with_start=reports))
            await stop.wait()
            health.draining = True
            report.cancel()
        log.info("stopping: %s seconds at most", config.limits.drain_timeout)


@asynccontextmanager
async def _listening(
    parts: Parts, config: Config, reuse_port: bool, tls: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """Accept callers at HOST:PORT, which it yields; drain when left."""
    try:
        await parts.runner.setup()
        lane = _lane(config, parts)
        parts.metrics.add_gauge("connections", "Connections of callers", lambda: lane.connections)
        host, port = await lane.listen(
            *split_address(config.listen), reuse_port=reuse_port, ssl=tls
        )
        parts.egress.protect_port(port)
        patience = 0.0  # after a fault, as the application has no store from then on
        try:
            yield f"{host}:{port}"
            patience = config.limits.drain_timeout
        finally:
            await lane.drain(patience)
    finally:
        await parts.runner.cleanup()


def _lane(config: Config, parts: Parts) -> Lane:
    """What listens for callers; where it may not forward, the application gets everything."""
    upstream = config.upstream
    assert parts.runner.server is not None, "the runner is not set up"
    return Lane(
        upstream=parts.nodes if config.lane else (),
        application=parts.runner.server,
        interception=parts.interception,
        limits=config.limits,
        connect_timeout=upstream.connect_timeout,
        most=upstream.max_connections,
        forwarding=parts.forwarding,
        ssl=upstream_tls(upstream),
        patience=Patience(answer=upstream.response_timeout or math.inf),
    )


def _let_the_loop_run() -> None:
    """Keep it waiting for the interpreter only briefly while other threads read large bodies."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()  # what has been imported stays anyway: collections need not look at it
    QuietCollection().begin()


def _give_memory_back() -> None:
    """Have the memory of large bodies returned to the system as soon as they are forgotten."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is None:
        return  # only glibc has it
    for option, value in _MALLOC_OPTIONS.items():
        mallopt(option, value)


def _raise_file_limit() -> None:
    """Every caller takes a file or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGTERM)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _renew(tls: CallerTls | None) -> None:
    """On SIGHUP: read the certificate again."""
    if tls is None:
        log.info("nothing to read again: callers speak plain HTTP")
        return
    try:
        tls.reload()
    except ConfigError as error:
        log.error("the old certificate stays in use: %s", error)
    else:
        log.info("the certificate has been read again")


async def _report_safely(config: Config, parts: Parts, url: str, *, with_start: bool) -> None:
    """Whatever goes wrong with a report, the proxy serves."""
    (problem,) = await asyncio.gather(
        _report(config, parts, url, with_start=with_start), return_exceptions=True
    )
    if problem is not None:
        log.error("cannot tell what is served: %s", type(problem).__name__, exc_info=problem)


async def _report(config: Config, parts: Parts, url: str, *, with_start: bool) -> None:
    await _report_upstream(parts, config.upstream)
    if with_start:
        report_start(config, url, await parts.facts())


async def _report_upstream(parts: Parts, config: UpstreamConfig) -> None:
    """Log once which nodes cannot be used; requests find out for themselves when they can."""
    context = upstream_tls(config)

    async def report(name: str, probe: TlsProbe) -> None:
        why = await connection_problem(name, probe, context, config.connect_timeout)
        if why is not None:
            then = "asking the others" if len(parts.nodes) > 1 else "answering 502 or 503"
            log.warning("upstream [%s] cannot be reached: %s: %s until it can", name, why, then)

    async with asyncio.TaskGroup() as group:  # side by side
        for node in parts.nodes:
            group.create_task(report(node.name, node.probe))


def _announce(line: str) -> None:
    """Log a line whatever the level: others wait for it."""
    started = logging.getLogger("proxy")
    log.log(max(logging.INFO, started.getEffectiveLevel()), line)
