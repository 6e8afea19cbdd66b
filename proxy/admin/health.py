"""Health: whether the process runs, and whether it can serve requests to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from proxy.admin.prometheus import Collector
from proxy.errors import ProxyError
from proxy.telemetry.metrics import Metrics

CHECK_TIMEOUT: Final = 5.0  # seconds
Check = Callable[[], Awaitable[object]]


class Admin:
    """Answers on the admin listener. `checks` are what `/readyz` asks, by name."""

    def __init__(self, metrics: Metrics, checks: Mapping[str, Check]) -> None:
        self._metrics = metrics
        self._checks = checks
        self.draining = False
        self.port: int | None = None  # where it listens

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show)
        return app

    async def _livez(self, _: web.Request) -> web.Response:
        """The event loop runs, or there would be no answer."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        """200 when requests can be served to their end, else 503 and what hinders them."""
        names = list(self._checks)
        found = await asyncio.gather(*(_checked(self._checks[name]) for name in names))
        state = dict(zip(names, found, strict=True))
        if self.draining:
            state["proxy"] = "stopping"
        ready = set(state.values()) <= {"ok"}
        body = {"status": "ok" if ready else "unavailable", **state}
        return web.json_response(body, status=200 if ready else 503)

    async def _show(self, _: web.Request) -> web.Response:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry()
        registry.register(Collector(self._metrics))
        ProcessCollector(registry=registry)
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


async def _checked(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except ProxyError as error:
        return error.reason
    except TimeoutError:
        return "no answer in time"
    return "ok"
