"""Notes what becomes of calls: figures, the state of each endpoint, a log line when it changes."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from proxy.ground.advice import TOO_LATE, Advice
from proxy.huggingface.states import State
from proxy.huggingface.usage import usage_of
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.trial import is_trial
from proxy.telemetry.endpoints import OK, UNKNOWN, Change, Endpoint, Endpoints
from proxy.telemetry.storms import Storms
from proxy.xcontent.times import time_text

# States that end when a request is sent and not answered.
_BEFORE_LATE: Final = (UNKNOWN, OK, State.TIMED_OUT, State.UNREACHABLE)

log = logging.getLogger(__name__)


class Observer:
    """Told of the outcome of each call. Those of trials count, but are no endpoint's state."""

    def __init__(self, endpoints: Endpoints, storms: Storms) -> None:
        self._endpoints = endpoints
        self._storms = storms

    def succeeded(self, endpoint: InferenceEndpoint) -> None:
        """A call brought a reply that could be read, or the beginning of a stream."""
        if is_trial.get():
            self._endpoints.rest_of(endpoint.task_type).outcomes[OK] += 1
            return
        known = self._endpoints.of(endpoint.inference_id, endpoint.task_type)
        if (change := self._endpoints.succeeded(known)) is not None:
            self._tell(known, change, None)

    def failed(self, endpoint: InferenceEndpoint, advice: Advice) -> None:
        """A call failed; where what was sent is to blame, the provider is in order."""
        if is_trial.get():
            self._endpoints.rest_of(endpoint.task_type).failed(advice.state)
            return
        known = self._endpoints.of(endpoint.inference_id, endpoint.task_type)
        state = OK if State(advice.state).is_of_request else advice.state
        if (change := self._endpoints.failed(known, advice, state)) is not None:
            self._tell(known, change, None if state == OK else advice)

    def ran_late(self, endpoint: InferenceEndpoint) -> None:
        """A request was not answered: news where nothing else was the matter, or nobody there."""
        if is_trial.get():
            return
        known = self._endpoints.of(endpoint.inference_id, endpoint.task_type)
        if known.state in _BEFORE_LATE:
            change = self._endpoints.troubled(known, TOO_LATE, State.TIMED_OUT)
            if change is not None:
                self._tell(known, change, TOO_LATE)

    def cut_off(self, endpoint: InferenceEndpoint) -> None:
        """A call had no answer when the time of all who wait for it was up."""
        usage_of(self._endpoints, endpoint).failed(State.TIMED_OUT)

    def _tell(self, endpoint: Endpoint, change: Change, advice: Advice | None) -> None:
        report = partial(_log, endpoint, endpoint.state, change, advice)
        self._storms.happened(("state", endpoint.inference_id), report)


def _log(
    endpoint: Endpoint, state: str, change: Change, advice: Advice | None, more: int = 0
) -> None:
    before = "" if change.before == UNKNOWN else f", before: {change.before}"
    log.info(
        "provider of inference endpoint [%s] is %s now%s (%s%s)%s",
        endpoint.inference_id,
        state,
        f", the last of {more} more changes within a minute" if more else "",
        endpoint.task,
        before if more or not before else f"{before} for {time_text(round(change.seconds))}",
        "" if advice is None else f": {advice.hint}",
        extra={
            "event.action": "provider-state-changed",
            "labels.inference_id": endpoint.inference_id,
            "labels.task_type": endpoint.task,
            "labels.state": state,
            "labels.state_before": change.before,
            "http.response.status_code": None if advice is None else advice.provider_status,
        },
    )
