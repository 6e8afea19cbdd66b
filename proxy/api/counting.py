"""Counts the answers of the application."""

from __future__ import annotations

from time import monotonic
from typing import Final

from aiohttp import web

from proxy.api.answers import Handler
from proxy.api.keys import LIMIT, ROUTE
from proxy.telemetry.metrics import Metrics

METRICS: Final = web.AppKey("metrics", Metrics)


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
        route = request.get(ROUTE, "other")
        metrics.count_request(route, status, monotonic() - started)
        if LIMIT in request:
            metrics.count_limit(request[LIMIT])
