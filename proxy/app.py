"""The composition root: builds the parts of a process, joins them, and owns their lifetime."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.admin import Check, admin_ports
from proxy.api.answers import Handler, begin, render_errors
from proxy.api.counting import METRICS, CountedRequest
from proxy.api.dispatcher import InferenceApi
from proxy.api.keys import REFUSED
from proxy.api.server import Runner
from proxy.assembly import (
    DependentsIfOffered,
    Inference,
    Offer,
    opened_inference,
    semantic_layer,
)
from proxy.config import Config, Prices, UpstreamConfig
from proxy.ground import freshness
from proxy.ground.epoch import Epoch
from proxy.ground.errors import ProxyError, UpstreamUnavailable
from proxy.ground.interception import Interception, is_inference
from proxy.ground.sessions import HEAD_LIMITS
from proxy.http1 import Forwarding
from proxy.huggingface.egress import EgressRules
from proxy.inference.ports import NoDependents
from proxy.inference.releases import PROFILES
from proxy.limits.calls import CallLimits, address_of_caller
from proxy.limits.memory import MemoryBudget
from proxy.semantic.layer import SemanticLayer
from proxy.store.cached import CachedStore
from proxy.store.opening import configured_store
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms
from proxy.upstream.asking import Asking
from proxy.upstream.certificateuser import guard_certificate, refuse_taken
from proxy.upstream.forward import Forwarder, forwarding
from proxy.upstream.grants import Grants
from proxy.upstream.heads import head_of, raw_target
from proxy.upstream.hooks import expect_continue, strip_additions
from proxy.upstream.nodes import Nodes
from proxy.upstream.origins import Origins
from proxy.upstream.privileges import Privileges
from proxy.upstream.rights import NOT_OFFERED, Right, lacking_rights, may_see
from proxy.upstream.security import Security
from proxy.upstream.session import UpstreamSession, open_session
from proxy.upstream.version import upstream_version

log = logging.getLogger(__name__)

_API: Final = web.AppKey("api", InferenceApi)
_FORWARDER: Final = web.AppKey("forwarder", Forwarder)
_INTERCEPTION: Final = web.AppKey("interception", Interception)
_MEMORY: Final = web.AppKey("memory", MemoryBudget)
_OFFER: Final = web.AppKey("offer", Offer)
_PRIVILEGES: Final = web.AppKey("privileges", Privileges)
_SECURITY: Final = web.AppKey("security", Security)
_SEMANTIC: Final = web.AppKey("semantic", SemanticLayer)
_UPSTREAM: Final = web.AppKey("upstream", UpstreamSession)
STORE: Final = web.AppKey("store", CachedStore)
_READ_BUFFER: Final = 65536  # bytes a stalled body may hold
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a process finds when it starts; None for what it cannot find out."""

    upstream_version: str | None
    security: bool | None  # of the upstream, on or off
    endpoints: int | None
    lacking: Sequence[Right] = ()  # what the semantic layer has to do without


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A process's parts, as far as whoever serves them has to know them."""

    runner: web.AppRunner  # of the application, not set up yet
    egress: EgressRules
    metrics: Metrics
    nodes: Nodes  # of the upstream
    forwarding: Forwarding  # how headers change on the way there
    interception: Interception  # which requests the application answers
    checks: Mapping[str, Check]  # what requests need, by name
    facts: Callable[[], Awaitable[Facts]]  # asked for once all parts are open


def make_parts(config: Config, epoch: Epoch | None = None) -> Parts:
    """The application and what stands beside it; see `make_application`.

    `epoch` is what this process shares with other workers of the same proxy.
    """
    egress = EgressRules(config.egress, upstream=config.upstream.urls, listeners=[config.listen])
    for port in admin_ports(config):
        egress.protect_port(port)
    nodes = Nodes(*config.upstream.urls)
    guard_certificate(nodes, config.upstream)
    endpoints = Endpoints(config.admin.named_endpoints, Prices(config.provider.prices))
    metrics, memory = Metrics(endpoints), MemoryBudget(config.limits.memory)
    app = _bare_application(config, _answering(metrics, memory))
    app[METRICS], app[_MEMORY], app[_INTERCEPTION] = metrics, memory, Interception()
    shared = epoch or Epoch()
    app.cleanup_ctx.append(lambda app: _open_parts(app, config, egress, nodes, shared))
    return Parts(
        runner=Runner(app, shutdown_timeout=config.limits.drain_timeout),
        egress=egress,
        metrics=metrics,
        nodes=nodes,
        forwarding=forwarding(config.upstream),
        interception=app[_INTERCEPTION],
        checks=_checks(app),
        facts=lambda: _facts(app, config),
    )


def make_application(config: Config) -> web.Application:
    """A complete reverse proxy: `_inference` answered, everything else handed on upstream.

    Starting it raises ConfigError, or KeyMismatch when the store was sealed with another key.
    """
    return make_parts(config).runner.app


def _bare_application(config: Config, middleware: Middleware) -> web.Application:
    """The application without the parts that answer."""
    app = web.Application(
        middlewares=[middleware],
        client_max_size=config.limits.inference_body,
        handler_args={
            "auto_decompress": False,
            "handler_cancellation": True,  # a caller that goes away takes its provider call along
            "access_log": None,
            # No `keepalive_timeout`: these are pipes of the lane, which closes unused ones itself.
            **HEAD_LIMITS,
            "max_line_size": config.limits.head,
            "max_field_size": config.limits.head,
            "read_bufsize": _READ_BUFFER,
        },
    )
    # One route for everything: aiohttp routes by the decoded path, Elasticsearch by the raw one.
    app.router.add_route("*", r"/{target:[\s\S]*}", _dispatch, expect_handler=expect_continue)
    app.on_response_prepare.append(_prepare)
    return app


def _checks(app: web.Application) -> dict[str, Check]:
    def opened(key: web.AppKey[T]) -> T:
        if key not in app:
            raise UpstreamUnavailable("the proxy is starting")
        return app[key]

    async def store() -> str | None:
        return await opened(STORE).check()

    async def upstream() -> None:
        await opened(_PRIVILEGES).ping()

    return {"store": store, "upstream": upstream}


async def _facts(app: web.Application, config: Config) -> Facts:
    async def told(answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except ProxyError:
            return None

    found = await told(app[STORE].find())
    version = is_off = None
    lacking: Sequence[Right] = ()
    if app[_SECURITY].is_there:
        version = await told(upstream_version(app[_UPSTREAM], config.upstream))
        is_off = await told(app[_SECURITY].is_off())
        # What is not decided at the start is told once it is.
        is_decided = config.semantic.enabled is True or _SEMANTIC not in app
        if config.semantic.enabled is not False and is_decided and is_off is False:
            lacking = await told(_lacking(app[_UPSTREAM], config.upstream)) or ()
    return Facts(
        upstream_version=version,
        security=None if is_off is None else not is_off,
        endpoints=None if found is None else len(found.endpoints),
        lacking=lacking,
    )


async def _lacking(upstream: UpstreamSession, config: UpstreamConfig) -> Sequence[Right]:
    return await lacking_rights(upstream, config) or ()


# One middleware, and one hook for answers: each costs every request a call and more.


def _answering(metrics: Metrics, memory: MemoryBudget) -> Middleware:
    """What a request takes counts until its answer is written, an error, too."""
    storms = Storms()

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        with CountedRequest(request, metrics, storms) as counted, memory.request():
            response = await render_errors(request, partial(_handle, handler))
            counted.status = str(response.status)
            return response

    return answer


def _handle(handler: Handler, request: web.Request) -> Awaitable[web.StreamResponse]:
    """Refuse what must not be passed on, whoever would answer it, where no lane has done so."""
    try:
        if address_of_caller.get() is None:
            head_of(request)
    except ProxyError:
        request[REFUSED] = True
        raise
    return handler(request)


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal."""
    strip_additions(request, response)
    begin(request, response)


async def _dispatch(request: web.Request) -> web.StreamResponse:
    wanted = request.headers.get(freshness.HEADER)
    if wanted is None:
        return await _dispatch_by_target(request)
    with freshness.wanting(wanted):
        return await _dispatch_by_target(request)


def _dispatch_by_target(request: web.Request) -> Awaitable[web.StreamResponse]:
    target = raw_target(request)
    if is_inference(target):
        return request.app[_API].answer(request)
    return _answer_by_layer_or_upstream(request, target)


async def _answer_by_layer_or_upstream(request: web.Request, target: bytes) -> web.StreamResponse:
    layer = request.app[_INTERCEPTION].layer
    method = request.method.encode()
    concerns = layer is not None and (
        layer.takes(method, target) or layer.looks_into(method, target)
    )
    if concerns and await request.app[_OFFER].stands():
        return await request.app[_SEMANTIC].answer(request)
    if _FORWARDER not in request.app:
        raise UpstreamUnavailable("no upstream is configured, only [_inference] is served")
    return await request.app[_FORWARDER].hand_on(request)


async def _open_parts(
    app: web.Application, config: Config, egress: EgressRules, nodes: Nodes, epoch: Epoch
) -> AsyncIterator[None]:
    """Everything behind the routes, opened in order and closed in reverse."""
    async with AsyncExitStack() as stack:
        own = configured_store(config)
        store = app[STORE] = CachedStore(own, config.store.freshness)
        stack.push_async_callback(store.close)
        await store.open()
        await refuse_taken(nodes)
        upstream = await stack.enter_async_context(open_session(config.upstream, nodes))
        app[_UPSTREAM], app[_SECURITY] = upstream, Security(upstream, config.upstream)
        privileges = app[_PRIVILEGES] = Privileges(app[_SECURITY], Grants())
        forwarder = None
        if config.upstream.urls:
            forwarder = app[_FORWARDER] = Forwarder(upstream, forwarding(config.upstream))
        inference = await stack.enter_async_context(
            opened_inference(config, store, own.notes, egress, app[METRICS])
        )
        layer = None
        may = partial(may_see, app[_SECURITY], upstream, config.upstream)
        offer = app[_OFFER] = Offer(config.semantic.enabled, may)
        if forwarder is not None and await offer.stands():
            asking = Asking(upstream, forwarder, config.upstream)
            layer = semantic_layer(
                config,
                asking,
                forwarder,
                inference.endpoints,
                privileges,
                epoch,
                app[METRICS],
                own.notes,
            )
            await stack.enter_async_context(layer.running(offer.accepted))
            app[_SEMANTIC] = layer
            app[_INTERCEPTION].use(layer.interceptor)
            offer.withdraw = partial(_withdraw, app[_INTERCEPTION])
        limits = CallLimits(config.limits)
        app[_API] = InferenceApi(
            inference.service,
            privileges,
            Origins(upstream, config.upstream),
            forwarder,
            PROFILES[config.compatibility],
            config=config.limits,
            limits=limits,
            dependents=NoDependents() if layer is None else DependentsIfOffered(offer, layer),
            heartbeat=config.provider.stream_heartbeat,
        )
        _show_counts(app[METRICS], limits, app[_MEMORY], inference, store, privileges)
        yield


def _withdraw(interception: Interception) -> None:
    """Take the semantic layer away: an upstream that was away at the start says so."""
    interception.use(None)
    log.info("%s: `setup --semantic` grants them, `check` names them", NOT_OFFERED)


def _show_counts(
    metrics: Metrics,
    limits: CallLimits,
    memory: MemoryBudget,
    inference: Inference,
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
        lambda: inference.limiter.waiting,
    )
    metrics.add_gauge(
        "cold_start_waiting",
        "Calls that wait for their provider to start now",
        lambda: inference.provider.waiting,
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
