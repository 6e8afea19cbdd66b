"""Health, as orchestrators ask for it."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from proxy.admin import Health, admin_application
from proxy.errors import StoreError
from proxy.telemetry.metrics import Metrics


async def passing():
    pass


async def away():
    raise StoreError("The endpoint store cannot be reached")


async def get(health, path):
    app = admin_application(health, Metrics().registry)
    async with TestClient(TestServer(app)) as client, client.get(path) as answer:
        return answer.status, await answer.read()


async def test_it_is_alive_whatever_is_away_and_ready_when_nothing_is():
    health = Health({"store": passing, "upstream": passing})
    assert await get(health, "/livez") == (200, b'{"status": "ok"}')
    assert (await get(health, "/readyz"))[0] == 200
    health.draining = True
    status, body = await get(health, "/readyz")
    assert (status, b"stopping" in body) == (503, True)
    health = Health({"store": away, "upstream": passing})
    status, body = await get(health, "/readyz")
    assert (status, b"cannot be reached" in body) == (503, True)
    assert (await get(health, "/livez"))[0] == 200
