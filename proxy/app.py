"""The composition root: builds the parts of a process, joins them, and owns their lifetime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from aiohttp import ClientSession, web

from proxy.admin.health import Check
from proxy.admin.listener import admin_ports
from proxy.api.answers import (
    MEMORY,
    Handler,
    add_origin_headers,
    mark_started,
    render_errors,
)
from proxy.api.bodies import decoded_pieces, whole_body
from proxy.api.counting import METRICS, STORMS, CountedRequest
from proxy.api.dispatcher import InferenceApi
from proxy.api.server import Runner
from proxy.config import CacheConfig, Config, ProviderConfig, UpstreamConfig
from proxy.config.prices import Prices
from proxy.ground import freshness
from proxy.ground.epoch import Epoch
from proxy.ground.errors import ProxyError, UpstreamError, UpstreamUnavailable
from proxy.ground.interception import Interception, is_inference
from proxy.ground.sessions import HEAD_LIMITS
from proxy.http1 import Forwarding
from proxy.huggingface.client import HuggingFace
from proxy.huggingface.egress import EgressRules
from proxy.huggingface.embeddingcache import EmbeddingCache, Memory
from proxy.huggingface.embeddingfile import EmbeddingFile
from proxy.huggingface.embeddingtier import FileTier
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.retry import RetryPolicy
from proxy.huggingface.session import provider_session
from proxy.huggingface.sharedlimits import Leases
from proxy.inference.embedding import EmbeddingEndpoints
from proxy.inference.ports import Notes, Uses, unused
from proxy.inference.releases import PROFILES, Profile
from proxy.inference.service import InferenceService
from proxy.limits.calls import CallLimits, address_of_caller
from proxy.limits.memory import MemoryBudget
from proxy.limits.turns import Turns
from proxy.semantic.layer import SemanticLayer
from proxy.store.cached import CachedStore
from proxy.store.opening import configured_store
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import SemanticMetrics
from proxy.telemetry.storms import Storms
from proxy.upstream.asking import Asking
from proxy.upstream.certificateuser import guard_certificate, refuse_taken
from proxy.upstream.forward import Forwarder, forwarding
from proxy.upstream.grants import Grants
from proxy.upstream.heads import head_of, raw_target
from proxy.upstream.hooks import REFUSED, close_when_unclear, expect_continue, strip_additions
from proxy.upstream.nodes import Nodes
from proxy.upstream.origins import Origins
from proxy.upstream.privileges import Privileges
from proxy.upstream.rights import Right, lacking_rights
from proxy.upstream.security import Security
from proxy.upstream.session import UpstreamSession, open_session
from proxy.upstream.version import upstream_version

log = logging.getLogger(__name__)

_API: Final = web.AppKey("api", InferenceApi)
_FORWARDER: Final = web.AppKey("forwarder", Forwarder)
_INTERCEPTION: Final = web.AppKey("interception", Interception)
_PRIVILEGES: Final = web.AppKey("privileges", Privileges)
_SECURITY: Final = web.AppKey("security", Security)
_SEMANTIC: Final = web.AppKey("semantic", SemanticLayer)
_UPSTREAM: Final = web.AppKey("upstream", UpstreamSession)
STORE: Final = web.AppKey("store", CachedStore)
_PATIENCE: Final = 2.0  # seconds in which the upstream tells what the proxy may, if it is there
_ASKED_AGAIN: Final = 1.0  # seconds until it is asked again
_GRANTING: Final = "`setup --semantic` grants them, `check` names them"
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
    app = _bare_application(config)
    endpoints = Endpoints(config.admin.named_endpoints, Prices(config.provider.prices))
    app[METRICS], app[STORMS] = Metrics(endpoints=endpoints), Storms()
    app[_INTERCEPTION] = Interception()
    app[MEMORY] = MemoryBudget(config.limits.memory)
    shared = epoch or Epoch()
    app.cleanup_ctx.append(lambda app: _open_parts(app, config, egress, nodes, shared))
    return Parts(
        runner=Runner(app, shutdown_timeout=config.limits.drain_timeout),
        egress=egress,
        metrics=app[METRICS],
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


def _bare_application(config: Config) -> web.Application:
    """The application without the parts that answer."""
    app = web.Application(
        middlewares=[_answer],
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
        if app[_INTERCEPTION].layer is not None and is_off is False:
            lacking = await told(lacking_rights(app[_UPSTREAM], config.upstream)) or ()
    return Facts(
        upstream_version=version,
        security=None if is_off is None else not is_off,
        endpoints=None if found is None else len(found.endpoints),
        lacking=lacking,
    )


# One middleware, and one hook for answers: each costs every request a call and more.


@web.middleware
async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a request takes counts until its answer is written, an error, too."""
    with CountedRequest(request) as counted, request.app[MEMORY].request():
        response = await render_errors(request, partial(_handle, handler))
        counted.status = str(response.status)
        return response


async def _handle(handler: Handler, request: web.Request) -> web.StreamResponse:
    """Refuse what must not be passed on, whoever would answer it, where no lane has done so."""
    try:
        if address_of_caller.get() is None:
            head_of(request)
    except ProxyError:
        request[REFUSED] = True
        raise
    return await handler(request)


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal."""
    mark_started(request)
    strip_additions(request, response)
    add_origin_headers(request, response)
    close_when_unclear(request, response)


async def _dispatch(request: web.Request) -> web.StreamResponse:
    if freshness.HEADER in request.headers:
        with freshness.wanting(request.headers[freshness.HEADER]):
            return await _dispatch_by_target(request)
    return await _dispatch_by_target(request)


async def _dispatch_by_target(request: web.Request) -> web.StreamResponse:
    target = raw_target(request)
    if is_inference(target):
        return await request.app[_API].answer(request)
    layer = request.app[_INTERCEPTION].layer
    method = request.method.encode()
    if layer is not None and (layer.takes(method, target) or layer.looks_into(method, target)):
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
        # As many connections as there can be calls, so that none waits for one.
        most = config.limits.calls + config.limits.streams
        session = await stack.enter_async_context(
            provider_session(config.egress, egress, most=most)
        )
        limiter = _rate_limiter(config.provider, own.notes, stack)
        profile = PROFILES[config.compatibility]
        cache = await _embedding_cache(config.cache, stack, app[METRICS])
        provider = _provider(config.provider, session, limiter, profile, app[METRICS], cache)
        service = InferenceService(store, provider, config.provider.timeout, profile)
        limits = CallLimits(config.limits)
        layer, offered = None, config.semantic.enabled
        may_see = partial(_may_see, app[_SECURITY], upstream, config.upstream)
        if forwarder is not None and offered is None:
            offered = await may_see()
        if forwarder is not None and offered is not False:
            asking = Asking(upstream, forwarder, config.upstream)
            endpoints = EmbeddingEndpoints(store, provider)
            layer = _semantic_layer(
                config, asking, endpoints, privileges, epoch, own.notes, app[METRICS]
            )
            await stack.enter_async_context(layer.running())
            app[_SEMANTIC], app[_INTERCEPTION].layer = layer, layer.interceptor
            if offered is None:
                await stack.enter_async_context(_undecided(app[_INTERCEPTION], may_see))
        app[_API] = InferenceApi(
            service,
            privileges,
            Origins(upstream, config.upstream),
            forwarder,
            profile,
            config=config.limits,
            limits=limits,
            uses_of=partial(_uses_of, app[_INTERCEPTION], layer),
            heartbeat=config.provider.stream_heartbeat,
        )
        _show_counts(app[METRICS], limits, app[MEMORY], limiter, store, privileges)
        yield


async def _may_see(
    security: Security, upstream: UpstreamSession, config: UpstreamConfig
) -> bool | None:
    """Whether the proxy has all privileges that the semantic layer needs; None: nobody can tell."""
    try:
        async with asyncio.timeout(_PATIENCE):
            if await security.is_off() or not await lacking_rights(upstream, config):
                return True
    except (UpstreamError, TimeoutError):
        return None
    log.info("fields of type [semantic_text] need privileges: %s", _GRANTING)
    return False


@asynccontextmanager
async def _undecided(
    interception: Interception, may_see: Callable[[], Awaitable[bool | None]]
) -> AsyncIterator[None]:
    """Take the semantic layer away once it is told that the proxy may not see what it needs.

    As long as nobody can tell, it stays: there may be fields that need it.
    """

    async def decide() -> None:
        while True:
            offered = await may_see()
            if offered is not None:
                break
            await asyncio.sleep(_ASKED_AGAIN)
        if not offered:
            interception.layer = None

    async with asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(decide())
        yield
        deciding.cancel()


async def _uses_of(
    interception: Interception, layer: SemanticLayer | None, inference_id: str
) -> Uses:
    """What names an endpoint, as far as the semantic layer is there."""
    if layer is None or interception.layer is None:
        return await unused(inference_id)
    return await layer.uses_of(inference_id)


def _provider(
    config: ProviderConfig,
    session: ClientSession,
    limiter: RateLimiter,
    profile: Profile,
    metrics: Metrics,
    cache: EmbeddingCache | None,
) -> HuggingFace:
    retry = RetryPolicy(initial_delay=config.retry_initial_delay, max_delay=config.retry_max_delay)
    return HuggingFace(session, config, limiter, retry, profile, metrics, cache)


def _rate_limiter(config: ProviderConfig, notes: Notes, stack: AsyncExitStack) -> RateLimiter:
    if not config.shared_rate_limits:
        return RateLimiter(config.queue_capacity)
    leases = Leases(notes)
    stack.push_async_callback(leases.close)
    return RateLimiter(config.queue_capacity, leases.pace_of)


async def _embedding_cache(
    config: CacheConfig, stack: AsyncExitStack, metrics: Metrics
) -> EmbeddingCache | None:
    """The cache that is configured, if any; the stack closes it."""
    if not config.bytes and config.file is None:
        return None
    file = None
    if config.file is not None:
        file = FileTier(EmbeddingFile(config.file, config.file_bytes))
        stack.push_async_callback(file.close)
        await file.open()
    cache = EmbeddingCache(Memory(config.bytes), file)
    cache.show(metrics)
    return cache


def _semantic_layer(
    config: Config,
    asking: Asking,
    endpoints: EmbeddingEndpoints,
    privileges: Privileges,
    epoch: Epoch,
    notes: Notes,
    metrics: Metrics,
) -> SemanticLayer:
    turns = Turns()
    return SemanticLayer(
        asking,
        endpoints,
        privileges,
        config.semantic,
        epoch,
        SemanticMetrics(metrics),
        notes,
        read_body=partial(whole_body, config.limits, turns),
        read_pieces=partial(decoded_pieces, turns),
    )


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
