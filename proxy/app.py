"""The composition root: builds the parts of a process, joins them, and owns their lifetime."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web

from proxy.admin.listener import admin_ports
from proxy.api.answers import Handler, mark_started, render_errors
from proxy.api.counting import METRICS, count_requests
from proxy.api.dispatcher import InferenceApi
from proxy.config import Config
from proxy.errors import ProxyError, UpstreamUnavailable
from proxy.huggingface.client import HuggingFace
from proxy.huggingface.egress import EgressRules
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.retry import RetryPolicy
from proxy.inference.releases import PROFILES
from proxy.inference.service import InferenceService
from proxy.interception import is_inference
from proxy.limits.calls import CallLimits
from proxy.limits.memory import MemoryBudget
from proxy.store.cached import CachedStore
from proxy.store.opening import open_store
from proxy.telemetry.metrics import Metrics
from proxy.upstream.forward import (
    REFUSED,
    Forwarder,
    close_when_unclear,
    expect_continue,
    head_of,
    raw_target,
    strip_additions,
)
from proxy.upstream.nodes import Nodes
from proxy.upstream.privileges import Privileges

log = logging.getLogger(__name__)

_API: Final = web.AppKey("api", InferenceApi)
EGRESS: Final = web.AppKey("egress", EgressRules)
_FORWARDER: Final = web.AppKey("forwarder", Forwarder)
NODES: Final = web.AppKey("nodes", Nodes)
PRIVILEGES: Final = web.AppKey("privileges", Privileges)
STORE: Final = web.AppKey("store", CachedStore)
_READ_BUFFER: Final = 65536  # bytes a stalled body may hold
_MAX_HEADERS: Final = 1000
_PROVIDER_CONNECT_TIMEOUT: Final = 5.0  # seconds


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
    app[EGRESS] = EgressRules(
        config.egress, upstream=config.upstream.urls, listeners=[config.listen]
    )
    app[NODES] = Nodes(*config.upstream.urls)
    for port in admin_ports(config):
        app[EGRESS].protect_port(port)
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
        store = app[STORE] = open_store(config)
        stack.push_async_callback(store.close)
        await store.open()
        nodes = app[NODES]
        privileges = app[PRIVILEGES] = Privileges(config.upstream, nodes)
        stack.push_async_callback(privileges.close)
        await privileges.open()
        forwarder = None
        if nodes:
            forwarder = app[_FORWARDER] = Forwarder(config.upstream, nodes)
            stack.push_async_callback(forwarder.close)
            await forwarder.open()
        session = await stack.enter_async_context(_provider_session(config, app[EGRESS]))
        profile = PROFILES[config.compatibility]
        limiter = RateLimiter(config.provider.queue_capacity)
        provider = HuggingFace(
            session,
            config.provider,
            limiter,
            RetryPolicy(
                initial_delay=config.provider.retry_initial_delay,
                max_delay=config.provider.retry_max_delay,
            ),
            profile,
            app[METRICS],
        )
        service = InferenceService(store, provider, config.provider.timeout, profile)
        limits, memory = CallLimits(config.limits), MemoryBudget(config.limits.memory)
        app[_API] = InferenceApi(
            service, privileges, forwarder, profile, limits=limits, memory=memory
        )
        _show_counts(app[METRICS], limits, memory, limiter, store, privileges)
        yield


def _show_counts(
    metrics: Metrics,
    limits: CallLimits,
    memory: MemoryBudget,
    limiter: RateLimiter,
    store: CachedStore,
    privileges: Privileges,
) -> None:
    """Add what the parts count for themselves to the figures."""
    metrics.add_gauge("calls_open", "Calls under way", lambda: limits.calls)
    metrics.add_gauge("streams_open", "Streams under way", lambda: limits.streams)
    metrics.add_gauge(
        "held_bytes", "Memory of bodies and replies, as estimated", lambda: memory.reserved
    )
    metrics.add_gauge(
        "rate_limit_waiting",
        "Calls that wait for their endpoint's rate limit now",
        lambda: limiter.waiting,
    )
    metrics.add_counter(
        "endpoint_reads",
        "Endpoints looked up, by where they were found",
        "source",
        {
            "memory": lambda: store.remembered_answers,
            "store": lambda: store.reads,
            "stale": lambda: store.stale_answers,
        },
    )
    metrics.add_counter(
        "privilege_checks",
        "Privilege checks, by who answers",
        "source",
        {"memory": lambda: privileges.remembered, "upstream": lambda: privileges.asked},
    )


def _provider_session(config: Config, rules: EgressRules) -> ClientSession:
    """The one session for all providers; nothing of a caller or of the upstream is in it."""
    egress = config.egress
    return ClientSession(
        connector=rules.connector(
            limit=0,
            # As many as there can be calls, so that none waits here.
            limit_per_host=config.limits.calls + config.limits.streams,
            ssl=ssl.create_default_context(cafile=egress.ca_file) if egress.ca_file else True,
        ),
        timeout=ClientTimeout(total=None, sock_connect=_PROVIDER_CONNECT_TIMEOUT),
        cookie_jar=DummyCookieJar(),
        trust_env=egress.proxy == "environment",
        proxy=egress.proxy if egress.proxy not in (None, "environment") else None,
        read_bufsize=_READ_BUFFER,
    )
