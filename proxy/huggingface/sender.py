"""Calls in their endpoint's turn, tried again where a failure may pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

from proxy.ground.authorization import confirm
from proxy.ground.errors import CountMismatch, MemoryShort, ProxyError, Rejected
from proxy.ground.frames import forget_frames
from proxy.ground.lateness import HeldUp
from proxy.huggingface.calls import (
    Call,
    Calls,
    FailedCall,
    InvalidHost,
    OpenReply,
    Refusal,
    Reply,
)
from proxy.huggingface.failures import failure, unreadable
from proxy.huggingface.hints import (
    HELD_BACK,
    advice_on,
    advice_on_count,
    advice_on_full_queue,
    advice_on_shape,
    advice_on_state,
)
from proxy.huggingface.observing import Observer
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.reading import Reader
from proxy.huggingface.retry import Failure, Retries, RetryPolicy
from proxy.huggingface.servers import Servers
from proxy.huggingface.states import State
from proxy.huggingface.usage import tokens_of, usage_of
from proxy.huggingface.waking import NotYet, Waking
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.releases import Profile
from proxy.limits.deadline import Deadline
from proxy.telemetry.metrics import Metrics
from proxy.xcontent.values import Json

T = TypeVar("T")


class Sender:
    """Sends calls and reads their replies. A deadline ends no call; it only ends retries."""

    def __init__(
        self,
        calls: Calls,
        limiter: RateLimiter,
        retry: RetryPolicy,
        profile: Profile,
        metrics: Metrics,
        observer: Observer,
        waking: Waking,
        servers: Servers,
    ) -> None:
        self._calls = calls
        self._limiter = limiter
        self._retry = retry
        self._profile = profile
        self._metrics = metrics
        self._observer = observer
        self._waking = waking
        self._servers = servers
        self.is_patient = waking.is_patient  # whether calls wait for servers that start

    async def answer(
        self, endpoint: InferenceEndpoint, body: Json, reader: Reader[T], deadline: Deadline
    ) -> T:
        """What `reader` makes of the reply to a call. Raises: the last attempt's error."""
        await self.turn(endpoint)
        retries = self.retries(deadline)
        while True:
            call = Call(endpoint, body, retries.failed > 0, deadline)
            outcome = await self.patiently(call, deadline, partial(self.attempt, reader=reader))
            if isinstance(outcome, FailedCall):
                outcome = self.failure(endpoint, outcome)
            if not isinstance(outcome, Failure):
                return outcome
            await retries.wait(outcome)

    async def open(self, endpoint: InferenceEndpoint, body: Json, deadline: Deadline) -> OpenReply:
        """The reply to a call, once it has begun. Raises: the last attempt's error."""
        await self.turn(endpoint)
        retries = self.retries(deadline)
        while True:
            call = Call(endpoint, body, retries.failed > 0, deadline)
            outcome = await self.patiently(call, deadline, self._open)
            if isinstance(outcome, OpenReply):
                return outcome
            await retries.wait(self.failure(endpoint, outcome))

    async def _open(self, call: Call) -> OpenReply | FailedCall:
        outcome = await self._outcome(call, self._calls.open)
        if isinstance(outcome, OpenReply):
            self._observer.succeeded(call.endpoint)
        else:
            self._failed(call.endpoint, outcome)
        return outcome

    async def _outcome(self, call: Call, send: Callable[[Call], Awaitable[T]]) -> T:
        """What comes of a call that is made once it may be."""
        await self._rest(call.endpoint)
        await confirm()
        try:
            return await send(call)
        except asyncio.CancelledError:
            if call.deadline.has_come:
                self._observer.cut_off(call.endpoint)
            raise

    async def patiently(
        self, call: Call, deadline: Deadline, send: Callable[[Call], Awaitable[T]]
    ) -> T | NotYet:
        """What `send` makes of a call; if its server starts, then once it has, if so configured."""
        return await self._waking.outcome(call, deadline, send)

    def take_turn(self, endpoint: InferenceEndpoint) -> bool:
        """Whether a call may leave now; it counts as having left: see `turn`."""
        return self._limiter.take_turn(endpoint)

    async def turn(self, endpoint: InferenceEndpoint, *, bounded: bool = True) -> None:
        """Wait until a call may leave: by the provider's wish, then by the endpoint's rate limit.

        Raises: Rejected where too many wait already, if that is `bounded`.
        """
        if not self._limiter.take_turn(endpoint):
            if bounded:
                self.check_room(endpoint)
            is_resting = self._limiter.is_resting(endpoint)
            why = advice_on_state(endpoint, State.RATE_LIMITED) if is_resting else HELD_BACK
            with HeldUp(why), self._metrics.rate_limit_wait(), self.queued(endpoint):
                await self._limiter.wait(endpoint)

    @contextmanager
    def queued(self, endpoint: InferenceEndpoint) -> Iterator[None]:
        """Count the time of the block as the endpoint's in the queue, however it ends."""
        began = self._metrics.clock()
        try:
            yield
        finally:
            used = usage_of(self._metrics.endpoints, endpoint)
            used.queue_seconds += self._metrics.clock() - began

    async def _rest(self, endpoint: InferenceEndpoint) -> None:
        """Wait as long as the provider has asked for no call, as after others were refused."""
        if self._limiter.is_resting(endpoint):
            limited = advice_on_state(endpoint, State.RATE_LIMITED)
            with HeldUp(limited), self.queued(endpoint):
                await self._limiter.rest(endpoint)

    def check_room(self, endpoint: InferenceEndpoint, waiting: int = 0) -> None:
        """Raises: Rejected if no more than these may wait for the endpoint."""
        try:
            self._limiter.check_room(endpoint, waiting)
        except Rejected as error:
            raise _full(error, endpoint) from None

    def retries(self, deadline: Deadline) -> Retries:
        """The retries of a call whose first attempt is made now."""
        return self._retry.start(deadline)

    async def attempt(self, call: Call, reader: Reader[T]) -> T | FailedCall | Failure:
        """The outcome of one call, its reply read; a Failure if that cannot be read.

        Raises: MemoryShort; CountMismatch, which another attempt would not change.
        """
        outcome = await self._outcome(call, self._calls.send)
        if not isinstance(outcome, Reply):
            self._failed(call.endpoint, outcome)
            return outcome
        try:
            result = await reader.read(outcome.body)
        except MemoryShort:
            raise
        except ProxyError as error:
            return self._unreadable(call.endpoint, outcome, error)
        self._note_read(call.endpoint, outcome)
        return result

    def _note_read(self, endpoint: InferenceEndpoint, reply: Reply) -> None:
        """Tell those who keep account that a reply has been read."""
        self._observer.succeeded(endpoint)
        if not endpoint.streams:
            self._servers.answered(endpoint, is_tei=reply.is_of_tei)
        else:
            endpoints = self._metrics.endpoints
            used = usage_of(endpoints, endpoint)
            endpoints.count_tokens(endpoint.inference_id, used, tokens_of(reply.body))

    def _failed(self, endpoint: InferenceEndpoint, outcome: FailedCall) -> None:
        if isinstance(outcome, Refusal) and outcome.status == 429 and outcome.retry_after:
            self._limiter.let_rest(endpoint, outcome.retry_after)
        self._observer.failed(endpoint, advice_on(endpoint, outcome))

    def _unreadable(self, endpoint: InferenceEndpoint, reply: Reply, error: ProxyError) -> Failure:
        """What a reply of another shape means. Raises: the error, if it is a CountMismatch."""
        is_mismatch = isinstance(error, CountMismatch)
        advice = advice_on_count() if is_mismatch else advice_on_shape(endpoint, reply.body)
        self._observer.failed(endpoint, advice)
        if is_mismatch:
            raise error.advised(advice)
        forget_frames(error)
        failed = unreadable(endpoint, error)
        failed.error.advised(advice)
        return failed

    def failure(self, endpoint: InferenceEndpoint, outcome: FailedCall) -> Failure:
        """What a failed call means in the release that is served."""
        failed = failure(endpoint, outcome, self._profile)
        failed.error.advised(advice_on(endpoint, outcome))
        if not isinstance(outcome, InvalidHost) and outcome.waited:
            return replace(failed, may_pass=False)
        return failed


def _full(error: Rejected, endpoint: InferenceEndpoint) -> Rejected:
    """The error of a full queue, which says when there will be room, and what can be done."""
    error.headers = ()
    return error.advised(advice_on_full_queue(endpoint))
