"""Counts the answers of the application."""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic
from typing import Final

from aiohttp import web

from proxy.api.answers import Handler
from proxy.api.keys import LIMIT, ROUTE
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms

METRICS: Final = web.AppKey("metrics", Metrics)
STORMS: Final = web.AppKey("storms", Storms)

log = logging.getLogger(__name__)


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware of the application."""
    metrics, started = request.app[METRICS], monotonic()
    status = "broken_off"  # by the caller, or by us amid an answer
    try:
        response = await handler(request)
        status = str(response.status)
        return response
    finally:
        route, seconds = request.get(ROUTE, "other"), monotonic() - started
        metrics.count_request(route, status, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log_request(request.method, route, status, seconds)
        if LIMIT in request:
            metrics.count_limit(request[LIMIT])
            request.app[STORMS].happened(request[LIMIT], partial(log_limit, request[LIMIT]))


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
