"""The composition root: builds the parts of a process, joins them, and owns their lifetime."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import resource
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, TypeVar

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from proxy.admin import METRICS, Admin, admin_listening, admin_ports, count_requests
from proxy.api import Handler, InferenceApi, mark_started, render_errors
from proxy.auth import Privileges
from proxy.compatibility import PROFILES
from proxy.config import Config, ConfigError, split_address
from proxy.egress import EgressRules
from proxy.errors import EndpointNotFound, ProxyError, UpstreamUnavailable
from proxy.forward import (
    REFUSED,
    Forwarder,
    close_when_unclear,
    expect_continue,
    forwarding,
    head_of,
    raw_target,
    strip_additions,
)
from proxy.huggingface import HuggingFace
from proxy.lane import Lane, Patience
from proxy.limits import Limits
from proxy.metrics import Metrics, Reading
from proxy.nodes import Node, Nodes
from proxy.ratelimit import RateLimiter
from proxy.retry import RetryPolicy
from proxy.server import Runner
from proxy.service import InferenceService
from proxy.store import open_store
from proxy.store.cached import CachedStore
from proxy.tls import CallerTls, upstream_tls
from proxy.wire import is_inference

log = logging.getLogger(__name__)
T = TypeVar("T")

_API: Final = web.AppKey("api", InferenceApi)
_EGRESS: Final = web.AppKey("egress", EgressRules)
_FORWARDER: Final = web.AppKey("forwarder", Forwarder)
_NODES: Final = web.AppKey("nodes", Nodes)
_PRIVILEGES: Final = web.AppKey("privileges", Privileges)
_STORE: Final = web.AppKey("store", CachedStore)
_READ_BUFFER: Final = 65536  # bytes a stalled body may hold
_MAX_HEADERS: Final = 1000


def make_application(config: Config) -> web.Application:
    """A complete reverse proxy: `_inference` answered, everything else handed on upstream.

    Starting it raises ConfigError, or KeyMismatch when the store was sealed with another key.
    """
    app = web.Application(
        middlewares=[count_requests, render_errors, _refuse_ambiguous],
        client_max_size=config.limits.inference_body,
        handler_args={
            "auto_decompress": False,
            "handler_cancellation": True,  # a caller that goes away takes its provider call along
            "access_log": None,
            "keepalive_timeout": config.limits.keepalive_timeout,
            "max_line_size": config.limits.head,
            "max_field_size": config.limits.head,
            "max_headers": _MAX_HEADERS,
            "read_bufsize": _READ_BUFFER,
        },
    )
    # One route for everything: aiohttp routes by the decoded path, Elasticsearch by the raw one.
    app.router.add_route("*", r"/{target:[\s\S]*}", _dispatch, expect_handler=expect_continue)
    app.on_response_prepare.append(mark_started)
    app.on_response_prepare.append(strip_additions)
    app.on_response_prepare.append(close_when_unclear)
    app[_EGRESS] = EgressRules(
        config.egress, upstream=config.upstream.urls, listeners=[config.listen]
    )
    app[_NODES] = Nodes(*config.upstream.urls)
    for port in admin_ports(config):
        app[_EGRESS].protect_port(port)
    app[METRICS] = Metrics()
    app.cleanup_ctx.append(lambda app: _parts(app, config))
    return app


@web.middleware
async def _refuse_ambiguous(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what must not be passed on, whoever would answer it."""
    try:
        head_of(request)
    except ProxyError:
        request[REFUSED] = True
        raise
    return await handler(request)


async def _dispatch(request: web.Request) -> web.StreamResponse:
    if is_inference(raw_target(request)):
        return await request.app[_API].answer(request)
    if _FORWARDER not in request.app:
        raise UpstreamUnavailable("no upstream is configured, only [_inference] is served")
    return await request.app[_FORWARDER].hand_on(request)


async def _parts(app: web.Application, config: Config) -> AsyncIterator[None]:
    """Everything behind the routes, opened in order and closed in reverse."""
    async with AsyncExitStack() as stack:
        store = app[_STORE] = open_store(config)
        stack.push_async_callback(store.close)
        await store.open()
        nodes = app[_NODES]
        privileges = app[_PRIVILEGES] = Privileges(config.upstream, nodes)
        stack.push_async_callback(privileges.close)
        await privileges.open()
        forwarder = None
        if nodes:
            forwarder = app[_FORWARDER] = Forwarder(config.upstream, nodes)
            stack.push_async_callback(forwarder.close)
            await forwarder.open()
        session = await stack.enter_async_context(_provider_session(config, app[_EGRESS]))
        profile = PROFILES[config.compatibility]
        limiter = RateLimiter(config.provider.queue_capacity)
        provider = HuggingFace(
            session,
            config.provider,
            limiter,
            RetryPolicy(
                initial_delay=config.provider.retry_initial_delay,
                max_delay=config.provider.retry_max_delay,
                timeout=config.provider.retry_timeout,
            ),
            profile,
            app[METRICS],
        )
        service = InferenceService(store, provider, config.provider.timeout, profile)
        limits = Limits(config.limits)
        app[_API] = InferenceApi(service, privileges, forwarder, profile, limits)
        app[METRICS].readings += _readings(limits, limiter, store, privileges)
        yield


def _readings(
    limits: Limits, limiter: RateLimiter, store: CachedStore, privileges: Privileges
) -> list[Reading]:
    """What the parts count for themselves."""

    def gauge(name: str, text: str, read: Callable[[], float]) -> Reading:
        return Reading(name=name, text=text, read=read)

    def answers(name: str, text: str, source: str, read: Callable[[], float]) -> Reading:
        return Reading(name=name, text=text, read=read, grows=True, labels=(("source", source),))

    told, asked, waits = (
        "Endpoints looked up, by where they were found",
        "Privilege checks, by who answers",
        "Calls that wait for their endpoint's rate limit now",
    )
    return [
        gauge("calls_open", "Calls under way", lambda: limits.calls),
        gauge("streams_open", "Streams under way", lambda: limits.streams),
        gauge("held_bytes", "Memory of bodies and replies, as estimated", lambda: limits.held),
        gauge("rate_limit_waiting", waits, lambda: limiter.waiting),
        answers("endpoint_reads", told, "memory", lambda: store.remembered_answers),
        answers("endpoint_reads", told, "store", lambda: store.reads),
        answers("endpoint_reads", told, "stale", lambda: store.stale_answers),
        answers("privilege_checks", asked, "memory", lambda: privileges.remembered),
        answers("privilege_checks", asked, "upstream", lambda: privileges.asked),
    ]


def _provider_session(config: Config, rules: EgressRules) -> ClientSession:
    """The one session for all providers; nothing of a caller or of the upstream is in it."""
    egress = config.egress
    return ClientSession(
        connector=rules.connector(
            limit=0,
            limit_per_host=config.provider.max_connections,
            ssl=ssl.create_default_context(cafile=egress.ca_file) if egress.ca_file else True,
        ),
        timeout=ClientTimeout(total=None, sock_connect=config.provider.connect_timeout),
        cookie_jar=DummyCookieJar(),
        trust_env=egress.proxy == "environment",
        proxy=egress.proxy if egress.proxy not in (None, "environment") else None,
        read_bufsize=_READ_BUFFER,
    )


# Serving


async def serve(
    config: Config, ready: Callable[[], None] = lambda: None, *, reuse_port: bool = False
) -> None:
    """Accept connections until SIGTERM or SIGINT, then finish what is under way.

    Calls `ready` once connections are accepted.
    Raises: ConfigError, KeyMismatch, OSError when the address cannot be had.
    """
    _raise_file_limit()
    stop = _stop_signal()
    tls = CallerTls.of(config.tls)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _renew, tls)
    app = make_application(config)
    admin = Admin(app[METRICS], _checks(app))
    async with (
        admin_listening(config, admin) as where,
        _listening(app, config, reuse_port, tls.context if tls else None) as address,
    ):
        if admin.port is not None:
            app[_EGRESS].protect_port(admin.port)
        _announce(f"listening on {'https' if tls else 'http'}://{address}")
        ready()
        log.info(where)
        await _report_upstream(app[_NODES], config.upstream.connect_timeout)
        await stop.wait()
        admin.draining = True
        log.info("stopping: %s seconds at most", config.limits.drain_timeout)


def _checks(app: web.Application) -> dict[str, Callable[[], Awaitable[None]]]:
    """What has to be there before requests can be served."""

    async def store() -> None:
        with suppress(EndpointNotFound):
            await _opened(app, _STORE).get("readiness-check")

    async def upstream() -> None:
        await _opened(app, _PRIVILEGES).ping()

    return {"store": store, "upstream": upstream}


def _opened(app: web.Application, key: web.AppKey[T]) -> T:
    if key not in app:
        raise UpstreamUnavailable("the proxy is starting")
    return app[key]


@asynccontextmanager
async def _listening(
    app: web.Application, config: Config, reuse_port: bool, tls: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """The application, and the lane before it, accepting connections at HOST:PORT."""
    runner = Runner(app, shutdown_timeout=config.limits.drain_timeout)
    try:
        await runner.setup()
        accept = _accept_in_lane if config.lane and config.upstream.url else _accept_directly
        address, drain = await accept(config, runner, reuse_port, tls)
        app[_EGRESS].protect_port(split_address(address)[1])
        yield address
        await drain()
    finally:
        await runner.cleanup()


Drain = Callable[[], Awaitable[None]]


async def _accept_in_lane(
    config: Config, runner: web.AppRunner, reuse_port: bool, tls: ssl.SSLContext | None
) -> tuple[str, Drain]:
    upstream = config.upstream
    lane = Lane(
        upstream=runner.app[_NODES],
        application=runner.server,
        limits=config.limits,
        connect_timeout=upstream.connect_timeout,
        most=upstream.max_connections,
        forwarding=forwarding(upstream),
        ssl=upstream_tls(upstream),
        patience=Patience(
            answer=upstream.response_timeout or math.inf,
            idle=upstream.idle_timeout,
            queue=upstream.queue_timeout,
        ),
    )
    connections = Reading(
        name="connections", text="Connections of callers", read=lambda: len(lane.callers)
    )
    runner.app[METRICS].readings.append(connections)
    host, port = await lane.listen(*split_address(config.listen), reuse_port=reuse_port, ssl=tls)
    return f"{host}:{port}", lambda: lane.drain(config.limits.drain_timeout)


async def _accept_directly(
    config: Config, runner: web.AppRunner, reuse_port: bool, tls: ssl.SSLContext | None
) -> tuple[str, Drain]:
    host, port = split_address(config.listen)
    site = web.TCPSite(
        runner, host, port, backlog=1024, reuse_port=reuse_port or None, ssl_context=tls
    )
    await site.start()
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}", site.stop


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


async def _report_upstream(nodes: Nodes, timeout: float) -> None:
    """Say once which nodes are not there yet; requests find out for themselves when they are."""

    async def report(node: Node) -> None:
        url = URL(node.name)
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(url.host, url.port)
                writer.close()
        except (OSError, TimeoutError):
            then = "asking the others" if len(nodes) > 1 else "answering 503"
            log.warning("upstream [%s] cannot be reached: %s until it can", node.name, then)

    async with asyncio.TaskGroup() as group:  # together: nothing is stopped before this has ended
        for node in nodes:
            group.create_task(report(node))


def _announce(line: str) -> None:
    """Log a line whatever the level: others wait for it."""
    started = logging.getLogger("proxy")
    log.log(max(logging.INFO, started.getEffectiveLevel()), line)
