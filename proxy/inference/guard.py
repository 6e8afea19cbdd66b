"""Endpoints whose model must stay what it was: vectors of two models ruin an index in silence.

What an endpoint's provider makes of a short text is kept with the endpoint, and compared with what
it makes of it later: after an interval, after the provider was away, and when it says that it
serves something else. Who finds another model says so in the endpoint's record: other processes
look then, too, and what is kept by its revision, perhaps vectors of the other model, is found no
more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from proxy.ground.background import Background
from proxy.ground.errors import ProxyError, StatusError
from proxy.ground.frames import forget_frames
from proxy.ground.singleflight import SingleFlight
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.fingerprints import Fingerprint, Model
from proxy.inference.ports import EndpointStore, Provider, Sighting
from proxy.inference.trial import INPUT
from proxy.limits.deadline import Deadline

_SOON: Final = 30.0  # seconds until a check is made again that failed, or found another model
_PAUSE: Final = 1.0  # seconds in which no server comes back with another model
_MANY: Final = 1000  # endpoints whose checks are remembered

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    """An endpoint's model is another one than before."""

    before: Model
    now: Model
    distance: float


@dataclass(slots=True)
class _Check:
    """The last look at an endpoint's model."""

    at: float
    again_at: float
    sighting: Sighting
    fingerprint: Fingerprint | None  # that it was compared with: an endpoint made anew has another
    drift: Drift | None


class ModelGuard:
    """Notices that the model of an endpoint has changed; one for each process."""

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        background: Background,
        sighting_of: Callable[[InferenceEndpoint], Sighting],
        *,
        interval: float,
        most_distant: float,
        refuses: bool,
        timeout: float,
        found: Callable[[InferenceEndpoint, bool], None] = lambda endpoint, differs: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`found` is told after each look whether an endpoint has another model."""
        self._store = store
        self._provider = provider
        self._background = background
        self._sighting_of = sighting_of
        self._interval = interval
        self._most_distant = most_distant  # cosine distance of the same model
        self._refuses = refuses
        self._timeout = timeout
        self._found = found
        self._clock = clock
        self._checks: dict[str, _Check] = {}
        self._running: SingleFlight[str, None] = SingleFlight()

    async def before(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """To be called before an endpoint embeds something; the endpoint as it is to be called.

        One that is known to have another model is called for each text, and nothing is kept: that
        would outlast the other model. Raises: StatusError 409 for it, if such are refused.
        """
        check = self._checks.get(endpoint.inference_id)
        if check is None or check.drift is None:
            return endpoint
        if self._refuses:
            await self.after(endpoint)
        return endpoint.asked_anew()

    async def after(self, endpoint: InferenceEndpoint) -> None:
        """To be called once an endpoint has embedded something, before anybody uses it.

        Those of other tasks have no vectors to compare. Raises: StatusError 409 if it turns out to
        have another model, and such are refused.
        """
        if endpoint.task_type is not TaskType.TEXT_EMBEDDING:
            return
        inference_id = endpoint.inference_id
        is_looking = self._running.is_under_way(inference_id)
        if self._is_due(endpoint) and not is_looking and not self._refuses:
            self._background.start(self._run(endpoint))
        if not self._refuses:
            return
        if is_looking or self._is_due(endpoint):
            await self._run(endpoint)
        check = self._checks.get(inference_id)
        if check is not None and check.drift is not None:
            raise StatusError(409, described(endpoint, check.drift))

    def _is_due(self, endpoint: InferenceEndpoint) -> bool:
        check, now = self._checks.get(endpoint.inference_id), self._clock()
        if check is None or now >= check.again_at or _is_news(endpoint, check.fingerprint):
            return True
        return now >= check.at + _PAUSE and self._sighting_of(endpoint) != check.sighting

    async def _run(self, endpoint: InferenceEndpoint) -> None:
        await self._running.run(endpoint.inference_id, lambda: self._look(endpoint))

    async def _look(self, endpoint: InferenceEndpoint) -> None:
        """Compare the model with what it was. If it cannot be called, nothing new is known."""
        sighting, last = self._sighting_of(endpoint), self._checks.get(endpoint.inference_id)
        known, drift, again = endpoint.fingerprint, None, _SOON
        if last is not None and _vector(last.fingerprint) == _vector(known):
            drift = last.drift
        try:
            async with asyncio.timeout(self._timeout):
                known, found = await self._compared(endpoint, sighting.model)
        except (ProxyError, TimeoutError) as error:
            forget_frames(error)  # the log tells of it
        else:
            if found is not None and drift is None:
                log_drift(endpoint, found, refused=self._refuses)
                known = await self._alarmed(endpoint, known)
            again = self._interval if found is None else _SOON
            drift = found
        self._found(endpoint, drift is not None)
        now = self._clock()
        self._remember(endpoint, _Check(now, now + again, sighting, known, drift))

    async def _compared(
        self, endpoint: InferenceEndpoint, model: Model
    ) -> tuple[Fingerprint, Drift | None]:
        """What is kept of the model, and how it differs from it, if it does. Raises: ProxyError."""
        deadline = Deadline.after(self._timeout)
        (vector,) = await self._provider.embed(endpoint.asked_anew(), [INPUT], deadline)
        known = endpoint.fingerprint
        if known is None:
            known = await self._kept(endpoint, Fingerprint.of(vector, model))
        distance = known.distance(vector)
        if distance > self._most_distant:
            return known, Drift(known.model, model, distance)
        if known.model.model_id is None and model.model_id is not None:
            known = await self._kept(endpoint, replace(known, model=model))
        return known, None

    async def _kept(self, endpoint: InferenceEndpoint, found: Fingerprint) -> Fingerprint:
        """What is stored with the endpoint: `found`, unless another process was faster."""

        def change(stored: InferenceEndpoint) -> InferenceEndpoint:
            is_same = stored.service_settings.url == endpoint.service_settings.url
            if not is_same or stored.fingerprint != endpoint.fingerprint:
                return stored
            return replace(stored, fingerprint=found)

        return (await self._store.update(endpoint.inference_id, change)).fingerprint or found

    async def _alarmed(self, endpoint: InferenceEndpoint, known: Fingerprint) -> Fingerprint:
        """The same, with one more alarm if that can be stored: else others look in their time."""

        def change(stored: InferenceEndpoint) -> InferenceEndpoint:
            found = stored.fingerprint
            if found is None or found.vector != known.vector:
                return stored
            return replace(stored, fingerprint=replace(found, alarms=found.alarms + 1))

        try:
            return (await self._store.update(endpoint.inference_id, change)).fingerprint or known
        except ProxyError as error:
            forget_frames(error)
            return known

    def _remember(self, endpoint: InferenceEndpoint, check: _Check) -> None:
        self._checks.pop(endpoint.inference_id, None)
        if len(self._checks) >= _MANY:
            del self._checks[next(iter(self._checks))]
        self._checks[endpoint.inference_id] = check


def _vector(known: Fingerprint | None) -> str | None:
    return None if known is None else known.vector


def _is_news(endpoint: InferenceEndpoint, known: Fingerprint | None) -> bool:
    """Whether another vector is kept with it than is known, or there was an alarm since."""
    kept = endpoint.fingerprint
    if kept is None or known is None:
        return kept is not known
    return kept.vector != known.vector or kept.alarms > known.alarms


def described(endpoint: InferenceEndpoint, drift: Drift) -> str:
    """What callers and the log are told of a drift."""
    named = ""
    if drift.before != drift.now:
        named = f", {drift.before} then and {drift.now} now"
    return (
        f"Inference endpoint [{endpoint.inference_id}] has another model than when it was first "
        f"used{named}: their vectors of the same text are [{drift.distance:.3f}] apart. Vectors of "
        "two models cannot be compared: bring the first model back, or delete the endpoint, create "
        "it again, and embed all documents anew"
    )


def log_drift(endpoint: InferenceEndpoint, drift: Drift, *, refused: bool) -> None:
    """Tell that an endpoint's model has changed."""
    log.warning(
        "%s%s",
        described(endpoint, drift),
        ". Until then it is refused" if refused else "",
        extra={
            "event.action": "model-changed",
            "labels.inference_id": endpoint.inference_id,
            "labels.task_type": str(endpoint.task_type),
            "labels.distance": f"{drift.distance:.3f}",
        },
    )
