"""Health, as orchestrators ask for it."""

from __future__ import annotations

import asyncio
import json

from aiohttp.test_utils import TestClient, TestServer

from proxy.admin import Health, admin_application
from proxy.admin.health import FRESHNESS
from proxy.ground.errors import StoreError
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from tests.support.clock import Clock


async def passing():
    pass


async def away():
    raise StoreError("The endpoint store cannot be reached")


async def get(health, path):
    app = admin_application(health, Metrics(Endpoints()))
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


async def test_what_fails_some_requests_alone_is_told_but_takes_nobody_out_of_service():
    async def limping():
        return "some records are sealed with another key"

    status, body = await get(Health({"store": limping, "upstream": passing}), "/readyz")
    assert (status, json.loads(body)) == (
        200,
        {
            "status": "degraded",
            "store": "some records are sealed with another key",
            "upstream": "ok",
        },
    )


async def test_a_check_is_made_once_for_all_who_ask_within_a_second():
    clock, made, gate = Clock(), [], asyncio.Event()

    async def counting():
        made.append(1)
        await gate.wait()

    health = Health({"store": counting}, clock)
    app = admin_application(health, Metrics(Endpoints()))
    async with TestClient(TestServer(app)) as client:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(client.get("/readyz")) for _ in range(5)]
            gate.set()
        assert {task.result().status for task in asked} == {200}
        assert len(made) == 1
        clock.now += FRESHNESS / 2
        await client.get("/readyz")
        assert len(made) == 1
        clock.now += FRESHNESS
        await client.get("/readyz")
        assert len(made) == 2
        health.draining = True  # is told at once
        assert (await client.get("/readyz")).status == 503
        assert len(made) == 2
