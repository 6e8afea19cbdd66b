"""What the admin port answers: `/livez`, `/readyz`, `/metrics` and `/endpoints`.

Nothing there is secret, so nobody is asked for credentials. It has a port of its own, so that no
path of Elasticsearch's is taken, and callers of the proxy do not reach it.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from proxy.admin.endpoints import EndpointStates
from proxy.admin.health import Health
from proxy.telemetry.metrics import Metrics


def admin_application(health: Health, metrics: Metrics) -> web.Application:
    """The application behind the admin port; `metrics` holds the figures of this process."""

    async def figures(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.router.add_get("/livez", health.livez)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", figures)
    app.router.add_get("/endpoints", EndpointStates(metrics.endpoints).show)
    return app
