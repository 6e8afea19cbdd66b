"""Log lines about providers that fail, once all attempts are over."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from proxy.ground.advice import TOO_LATE, Advice
from proxy.ground.authorization import NOT_CONFIRMED
from proxy.ground.errors import MemoryShort, ProxyError, Rejected
from proxy.ground.lateness import Lateness, begin
from proxy.ground.masking import bare_url
from proxy.huggingface.observing import Observer
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.telemetry.storms import Storms

_MAX_TEXT: Final = 500  # characters of an error's text
_OURS: Final = (Rejected, MemoryShort, *NOT_CONFIRMED)

log = logging.getLogger(__name__)


class FailureLog:
    """Warns of an endpoint's first failure at once, then tells each minute how many more came."""

    def __init__(self, storms: Storms, observer: Observer) -> None:
        self._storms = storms
        self._observer = observer

    def watching(self, endpoint: InferenceEndpoint, deadline: Deadline) -> _Watch:
        """Log what fails within, but not that the proxy has no room, or the caller no rights."""
        return _Watch(self, endpoint, deadline)

    def failed(self, endpoint: InferenceEndpoint, error: ProxyError) -> None:
        """`error` is what callers see; the endpoint's token is hidden in it."""
        url = endpoint.service_settings.url
        text = error.reason.replace(url, bare_url(url))
        text = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
        self.note(endpoint, text, error.type, error.provider_status)

    def stream_failed(self, endpoint: InferenceEndpoint, error: ProxyError) -> None:
        """As `failed`, for a stream that had begun: nobody else tells of its end."""
        if error.advice is not None:
            self._observer.failed(endpoint, error.advice)
        self.failed(endpoint, error)

    def ran_late(self, endpoint: InferenceEndpoint, advice: Advice) -> None:
        """There was no result when its deadline had come; `advice` is what its caller is told."""
        text = "no result in time"
        if advice is TOO_LATE:
            self._observer.ran_late(endpoint)
        else:  # nothing that the endpoint's server could answer was late
            text += f". {advice.hint}"
        self.note(endpoint, text, "timeout_exception", None)

    def note(self, endpoint: InferenceEndpoint, text: str, kind: str, status: int | None) -> None:
        url = bare_url(endpoint.service_settings.url)
        inference_id, task_type = endpoint.inference_id, str(endpoint.task_type)

        def report(more: int) -> None:
            log.warning(
                "provider of inference endpoint [%s] failed%s: %s (%s, %s)",
                inference_id,
                f" {more} more times within a minute, at last" if more else "",
                text,
                task_type,
                url,
                extra={
                    "event.action": "provider-failed",
                    "event.outcome": "failure",
                    "error.type": kind,
                    "error.message": text,
                    "http.response.status_code": status,
                    "url.full": url,
                    "labels.inference_id": inference_id,
                    "labels.task_type": task_type,
                    "labels.failures": str(more or 1),
                },
            )

        self._storms.happened(inference_id, report)


class _Watch:
    """The context of what is watched."""

    def __init__(self, log: FailureLog, endpoint: InferenceEndpoint, deadline: Deadline) -> None:
        self._log = log
        self._endpoint = endpoint
        self._deadline = deadline
        self._lateness = Lateness()

    def __enter__(self) -> None:
        begin(self._lateness)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, _OURS):
            return
        if isinstance(error, ProxyError):
            self._log.failed(self._endpoint, error)
        # By the deadline, or by a caller that has gone away.
        elif isinstance(error, asyncio.CancelledError) and self._deadline.has_come:
            self._log.ran_late(self._endpoint, self._lateness.advice)
