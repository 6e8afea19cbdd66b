"""Counts the answers of the application."""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic
from typing import Final

from aiohttp import web

from proxy.api.keys import LIMIT, ROUTE
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms

METRICS: Final = web.AppKey("metrics", Metrics)

log = logging.getLogger(__name__)


class CountedRequest:
    """A request that is counted, and logged, when this is left.

    `status` is the answer's, as text, once it is written.
    """

    status = "broken_off"  # by the caller, or by us amid an answer

    def __init__(self, request: web.Request, metrics: Metrics, storms: Storms) -> None:
        self._request = request
        self._metrics = metrics
        self._storms = storms

    def __enter__(self) -> CountedRequest:
        self._started = monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        request, seconds = self._request, monotonic() - self._started
        route = request.get(ROUTE, "other")
        self._metrics.count_request(route, self.status, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log_request(request.method, route, self.status, seconds)
        if (limit := request.get(LIMIT)) is not None:
            self._metrics.count_limit(limit)
            self._storms.happened(limit, partial(log_limit, limit))


def log_limit(limit: str, more: int) -> None:
    log.warning(
        "refused %s because of [limits.%s]",
        f"{more} more requests within a minute" if more else "a request",
        limit,
        extra={
            "event.action": "request-refused",
            "event.outcome": "failure",
            "labels.limit": limit,
            "labels.requests": str(more or 1),
        },
    )


def log_request(method: str, route: str, status: str, seconds: float) -> None:
    log.debug(
        "%s %s: %s in %.1f ms",
        method,
        route,
        status,
        seconds * 1000,
        extra={
            "event.action": "request-answered",
            "event.duration": int(seconds * 1e9),
            "http.request.method": method,
            "http.response.status_code": int(status) if status.isdecimal() else None,
            "labels.route": route,
        },
    )
