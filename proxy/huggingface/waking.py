"""Endpoints that start when they are called: who may wait until they have.

One of those who call such an endpoint looks again and again whether it has started, with its own
call and after growing pauses. The others wait for what it finds, and call nobody meanwhile. When it
leaves, the next one looks. Nobody waits for one whose call is not answered when its time to wait is
over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar

from proxy.config import ProviderConfig
from proxy.ground.lateness import HeldUp
from proxy.ground.masking import bare_url
from proxy.huggingface.calls import NOBODY_LISTENS, Call, NoReply, Refusal
from proxy.huggingface.hints import advice_on
from proxy.huggingface.retry import Clock, Sleep
from proxy.huggingface.states import State, find_state, is_hosted
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline

T = TypeVar("T")
NotYet: TypeAlias = Refusal | NoReply  # what calls of a server come to that is starting
_FIRST_PAUSE: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 15.0
_LONGEST_IF_REFUSED: Final = 2.0  # where nothing listens, a look costs nobody anything
_GROWTH: Final = 1.5
# Seconds before a request's end at which it gives up: what the provider says tells more than that
# the time is over.
_MARGIN: Final = 0.5
_LAST_CALL: Final = 5.0  # seconds that one who looks may be late with what it finds
_HOLDING: Final = (".endpoints.huggingface.cloud",)  # whose gateway can hold calls

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Vigil:
    """The wait of several requests for a server; one of them looks."""

    found: NotYet  # by the last call
    began: float
    until: float  # the end of the time for which the one waits who looks
    pause: float = _FIRST_PAUSE
    others: dict[asyncio.Future[bool], None] = field(default_factory=dict)

    def wake(self) -> None:
        """Tell all others that it has started."""
        while self._tell_first(True):
            pass

    def pass_on(self) -> bool:
        """Let another one look; False if there is none."""
        return self._tell_first(False)

    def _tell_first(self, has_started: bool) -> bool:
        """Whether there was somebody to tell."""
        while self.others:
            other = next(iter(self.others))
            del self.others[other]
            if not other.done():
                other.set_result(has_started)
                return True
        return False


class Waking:
    """Waits for servers that start, if that is configured."""

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._seconds = config.cold_start_wait
        self.is_patient = self._seconds > 0
        self._clock = clock
        self._sleep = sleep
        self._vigils: dict[tuple[str, str], Vigil] = {}

    @property
    def waiting(self) -> int:
        """Calls that wait for servers to start."""
        return sum(1 + len(vigil.others) for vigil in self._vigils.values())

    async def outcome(
        self, call: Call, deadline: Deadline, send: Callable[[Call], Awaitable[T]]
    ) -> T | NotYet:
        """What `send` makes of the call, once its server has started or the time for that is over.

        A failure at that end is marked as `waited`: to try again would be to wait again.
        """
        if not self.is_patient:
            return await send(call)
        key = (call.endpoint.service_settings.url, call.endpoint.secret_settings.api_key)
        end = None
        while True:
            vigil = self._watched(key)
            if vigil is None:
                found = await send(call)
                vigil = self._watched(key)
                if not isinstance(found, NotYet) or not is_starting(call.endpoint, found):
                    if vigil is None:
                        self._end_vigil(key, call)
                    return found
                end = self._end(deadline) if end is None else end
                if vigil is None:
                    vigil = self._vigils[key] = Vigil(found, self._clock(), end)
                    log_starting(call.endpoint, self._seconds)
                    return await self._look(key, vigil, call, end, send)
            end = self._end(deadline) if end is None else end
            with HeldUp(advice_on(call.endpoint, vigil.found)):
                found_by_others = await self._others_finding(vigil, end)
            match found_by_others:
                case None:
                    return replace(vigil.found, waited=True)
                case False:
                    return await self._look(key, vigil, call, end, send)

    def _end(self, deadline: Deadline) -> float:
        return min(self._clock() + self._seconds, deadline.at - _MARGIN)

    async def _others_finding(self, vigil: Vigil, end: float) -> bool | None:
        """True once the server has started, False to look oneself, None if the time is over."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        vigil.others[turn] = None
        timer = asyncio.ensure_future(self._sleep(max(0.0, end - self._clock())))
        try:
            await asyncio.wait((turn, timer), return_when=asyncio.FIRST_COMPLETED)
            return turn.result() if turn.done() else None
        except asyncio.CancelledError:
            if turn.done() and not turn.result():
                vigil.pass_on()
            raise
        finally:
            timer.cancel()
            turn.cancel()
            vigil.others.pop(turn, None)

    async def _look(
        self,
        key: tuple[str, str],
        vigil: Vigil,
        call: Call,
        end: float,
        send: Callable[[Call], Awaitable[T]],
    ) -> T | NotYet:
        vigil.until = end
        try:
            while (left := end - self._clock()) > 0:
                with HeldUp(advice_on(call.endpoint, vigil.found)):
                    await self._sleep(min(self._pause(vigil), left))
                patience = (
                    max(1, int(end - self._clock()) - 1)
                    if is_hosted(call.endpoint, _HOLDING)
                    else None
                )
                found = await send(replace(call, is_retry=True, scale_up_timeout=patience))
                if not isinstance(found, NotYet) or not is_starting(call.endpoint, found):
                    if self._vigils.get(key) is vigil:
                        self._end_vigil(key, call)
                    vigil.wake()
                    return found
                vigil.found = found
            return replace(vigil.found, waited=True)
        finally:
            if not vigil.pass_on() and self._vigils.get(key) is vigil:
                del self._vigils[key]

    def _watched(self, key: tuple[str, str]) -> Vigil | None:
        """The wait for a server, unless who looks has no answer any more."""
        vigil = self._vigils.get(key)
        return None if vigil is None or vigil.until + _LAST_CALL < self._clock() else vigil

    def _end_vigil(self, key: tuple[str, str], call: Call) -> None:
        vigil = self._vigils.pop(key, None)
        if vigil is not None:
            log_started(call.endpoint, self._clock() - vigil.began)
            vigil.wake()

    def _pause(self, vigil: Vigil) -> float:
        found, pause = vigil.found, vigil.pause
        if not isinstance(found, Refusal):
            vigil.pause = min(pause * _GROWTH, _LONGEST_IF_REFUSED)
            return pause
        vigil.pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        return max(pause, min(found.retry_after or 0.0, _LONGEST_PAUSE))


def is_starting(endpoint: InferenceEndpoint, found: NotYet) -> bool:
    """Whether a call failed because its server is not up yet.

    Many listen only once they have loaded their model, as text-embeddings-inference does.
    """
    if isinstance(found, NoReply):
        return found.cause == NOBODY_LISTENS
    return find_state(endpoint, found).state is State.WAKING_UP


def log_starting(endpoint: InferenceEndpoint, patience: float) -> None:
    """Tell that requests wait so many seconds for an endpoint's server."""
    _log(endpoint, "provider-starting", f"is starting: requests wait {patience:g} s for it")


def log_started(endpoint: InferenceEndpoint, seconds: float) -> None:
    """Tell that the wait is over."""
    _log(endpoint, "provider-started", f"has started, after {seconds:.0f} s")


def _log(endpoint: InferenceEndpoint, action: str, text: str) -> None:
    url = bare_url(endpoint.service_settings.url)
    log.info(
        "provider of inference endpoint [%s] %s (%s, %s)",
        endpoint.inference_id,
        text,
        endpoint.task_type,
        url,
        extra={
            "event.action": action,
            "url.full": url,
            "labels.inference_id": endpoint.inference_id,
            "labels.task_type": str(endpoint.task_type),
        },
    )
