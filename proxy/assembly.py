"""Builds what answers by itself: inference with its provider, and the semantic layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.api.answers import sent
from proxy.api.bodies import decoded_pieces, whole_body
from proxy.config import CacheConfig, Config, ProviderConfig
from proxy.ground.background import Background
from proxy.ground.epoch import Epoch
from proxy.ground.singleflight import SingleFlight
from proxy.huggingface.client import HuggingFace
from proxy.huggingface.egress import EgressRules
from proxy.huggingface.embeddingcache import EmbeddingCache, Memory
from proxy.huggingface.embeddingfile import EmbeddingFile
from proxy.huggingface.embeddingtier import FileTier
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.retry import RetryPolicy
from proxy.huggingface.session import provider_session
from proxy.huggingface.sharedlimits import Leases
from proxy.inference.departed import Departed
from proxy.inference.dimensions import DimensionsFinder
from proxy.inference.embedding import EmbeddingEndpoints
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.guard import ModelGuard
from proxy.inference.maintained import MaintainedProvider
from proxy.inference.ports import Dependents, NoDependents, Notes, Uses
from proxy.inference.releases import PROFILES
from proxy.inference.service import InferenceService
from proxy.inference.warmth import Warmth
from proxy.limits.turns import Turns
from proxy.semantic.layer import SemanticLayer
from proxy.store.cached import CachedStore
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import SemanticMetrics
from proxy.upstream.asking import Asking
from proxy.upstream.forward import Forwarder
from proxy.upstream.privileges import Privileges

_PATIENCE: Final = 2.0  # seconds in which the upstream tells what the proxy may, if it is there

# Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What can be done with endpoints, and what calls their providers."""

    service: InferenceService
    endpoints: EmbeddingEndpoints
    provider: HuggingFace
    limiter: RateLimiter


@asynccontextmanager
async def opened_inference(
    config: Config, store: CachedStore, notes: Notes, egress: EgressRules, metrics: Metrics
) -> AsyncIterator[Inference]:
    """Inference by the endpoints of a store, which are looked after meanwhile."""
    settings, profile = config.provider, PROFILES[config.compatibility]
    async with AsyncExitStack() as stack:
        # As many connections as there can be calls, so that none waits for one.
        most = config.limits.calls + config.limits.streams
        session = await stack.enter_async_context(
            provider_session(config.egress, egress, most=most)
        )
        limiter = _rate_limiter(settings, notes, stack)
        cache = await _embedding_cache(config.cache, stack, metrics)
        retry = RetryPolicy(
            initial_delay=settings.retry_initial_delay, max_delay=settings.retry_max_delay
        )
        provider = HuggingFace(session, settings, limiter, retry, profile, metrics, cache)
        stack.push_async_callback(provider.close)
        background = Background()
        stack.push_async_callback(background.close)
        dimensions = DimensionsFinder(store, provider, settings.timeout, background)
        warmth = Warmth(store, provider, settings.keep_warm, settings.timeout, background)
        background.start(warmth.run())
        departed = Departed(store, partial(_known_endpoints, metrics), provider.forget)
        background.start(departed.run())
        guard = _guard(settings, store, provider, background, metrics)
        maintained = MaintainedProvider(provider, dimensions, warmth, guard)

        def created(endpoint: InferenceEndpoint) -> None:
            if guard is not None:
                background.start(guard.after(endpoint))

        service = InferenceService(
            store,
            maintained,
            settings.timeout,
            profile,
            trial_provider=provider,
            takes_starting=settings.cold_start_wait > 0,
            prefixes_of=settings.prefixes.of,
            created=created,
        )
        endpoints = EmbeddingEndpoints(store, maintained, dimensions, settings.prefixes.of)
        yield Inference(service=service, endpoints=endpoints, provider=provider, limiter=limiter)


def _known_endpoints(metrics: Metrics) -> list[tuple[str, str]]:
    return [(one.inference_id, one.task) for one in metrics.endpoints.known()]


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


def _guard(
    config: ProviderConfig,
    store: CachedStore,
    provider: HuggingFace,
    background: Background,
    metrics: Metrics,
) -> ModelGuard | None:
    if config.model_guard is None:
        return None

    def found(endpoint: InferenceEndpoint, differs: bool) -> None:
        known = metrics.endpoints.of(endpoint.inference_id, endpoint.task_type)
        known.has_other_model = differs

    return ModelGuard(
        store,
        provider,
        background,
        provider.sighting,
        interval=config.model_guard_interval,
        most_distant=config.model_guard_distance,
        refuses=config.model_guard == "refuse",
        timeout=config.timeout,
        found=found,
    )


# The semantic layer


def semantic_layer(
    config: Config,
    asking: Asking,
    forwarder: Forwarder,
    endpoints: EmbeddingEndpoints,
    privileges: Privileges,
    epoch: Epoch,
    metrics: Metrics,
    notes: Notes,
) -> SemanticLayer:
    """The layer, which does nothing before it is running."""
    turns = Turns()
    return SemanticLayer(
        asking,
        forwarder,
        endpoints,
        privileges,
        config.semantic,
        epoch,
        SemanticMetrics(metrics),
        notes,
        read_body=partial(whole_body, config.limits, turns),
        read_pieces=partial(decoded_pieces, turns),
        send=sent,
    )


class Offer:
    """Whether the semantic layer is offered: as it is configured, or as the upstream tells.

    As long as the upstream is away, it stands: there may be fields that need it. So it is asked
    anew by the first request that concerns the layer, and decides before that is answered.
    """

    def __init__(self, wanted: bool | None, may_see: Callable[[], Awaitable[bool | None]]) -> None:
        """`may_see` says whether the proxy has the privileges; None where nobody can tell."""
        self._decided = wanted
        self._may_see = may_see
        self._asking: SingleFlight[None, None] = SingleFlight()
        self.withdraw: Callable[[], None] = _nothing  # what is to be done once it does not stand
        self.accepted = asyncio.Event()  # for good
        if wanted:
            self.accepted.set()

    async def stands(self) -> bool:
        """Whether there is a layer, for all that is known."""
        if self._decided is None:
            await self._asking.run(None, self._decide)
        return self._decided is not False

    async def _decide(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                self._decided = await self._may_see()
        if self._decided:
            self.accepted.set()
        elif self._decided is False:
            self.withdraw()


def _nothing() -> None:
    """Before there is anything to withdraw."""


@dataclass(frozen=True, slots=True)
class DependentsIfOffered:
    """What uses endpoints, as far as the semantic layer is there."""

    offer: Offer
    layer: SemanticLayer

    async def uses_of(self, inference_id: str) -> Uses:
        return await (await self._found()).uses_of(inference_id)

    async def misfits_of(self, endpoint: InferenceEndpoint) -> Sequence[str]:
        return await (await self._found()).misfits_of(endpoint)

    async def _found(self) -> Dependents:
        return self.layer if await self.offer.stands() else NoDependents()
