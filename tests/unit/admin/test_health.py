"""Health and metrics, as Prometheus and orchestrators ask for them."""

from __future__ import annotations

import socket

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin.health import Admin
from proxy.admin.listener import admin_listening, admin_ports
from proxy.api.counting import METRICS
from proxy.config import AdminConfig, Config, ConfigError, LimitsConfig
from proxy.errors import StoreError
from proxy.telemetry.metrics import Metrics
from tests.support.samples import TOKEN
from tests.support.stubs import json_reply
from tests.unit.api.test_dispatcher import proxy_with
from tests.unit.api.test_limits import EMBED, STREAM


async def passing():
    pass


async def away():
    raise StoreError("The endpoint store cannot be reached")


async def get(admin, path):
    async with TestClient(TestServer(admin.application())) as client, client.get(path) as answer:
        return answer.status, await answer.read()


async def figures(metrics):
    """Samples by name and the values of labels, in the order of their names."""
    status, body = await get(Admin(metrics, {}), "/metrics")
    assert status == 200
    return {
        (sample.name.removeprefix("hfproxy_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def test_it_is_alive_whatever_is_away_and_ready_when_nothing_is():
    admin = Admin(Metrics(), {"store": passing, "upstream": passing})
    assert await get(admin, "/livez") == (200, b'{"status": "ok"}')
    assert (await get(admin, "/readyz"))[0] == 200
    admin.draining = True
    status, body = await get(admin, "/readyz")
    assert (status, b"stopping" in body) == (503, True)
    admin = Admin(Metrics(), {"store": away, "upstream": passing})
    status, body = await get(admin, "/readyz")
    assert (status, b"cannot be reached" in body) == (503, True)
    assert (await get(admin, "/livez"))[0] == 200


async def test_figures_tell_what_happened(tmp_path):
    async with proxy_with(tmp_path, inputs=2) as proxy:
        await proxy.put("text_embedding")
        await proxy("POST", EMBED, {"input": "x"})
        await proxy("POST", EMBED, {"input": ["x"] * 3})
        await proxy("POST", STREAM, {"input": "x"})
        await proxy("GET", "/_inference/_all")
        proxy.provide(json_reply({"error": "no"}, 503))
        await proxy("POST", EMBED, {"input": "x"})
        found = await figures(proxy.server.app[METRICS])
    assert found["requests_total", "put_endpoint", "200"] == 1
    assert found["requests_total", "infer", "200"] == 1
    assert found["requests_total", "infer", "400"] == 2  # one of them after the 503
    assert found["requests_total", "stream", "400"] == 1
    assert found["request_seconds_count", "infer"] == 3
    assert found["limits_hit_total", "inputs"] == 1
    assert found["provider_calls_total", "200", "text_embedding"] == 2
    assert found["provider_calls_total", "503", "text_embedding"] == 3
    assert found["provider_retries_total", "text_embedding"] == 2
    assert found["provider_seconds_count", "text_embedding"] == 5
    assert found["rate_limit_waits_total",] > 0
    assert found["calls_open",] == found["streams_open",] == found["held_bytes",] == 0
    assert found["endpoint_reads_total", "store"] >= 1
    assert found["process_open_fds",] > 0


async def test_figures_hold_no_ids_and_no_secrets_and_do_not_grow_with_what_is_sent(tmp_path):
    async with proxy_with(tmp_path, streams=LimitsConfig().streams) as proxy:
        await proxy.put("text_embedding", name="a-telling-name")
        before = await figures(proxy.server.app[METRICS])
        for n in range(20):
            await proxy("GET", f"/_inference/rerank/id-{n}")
            await proxy("GET", f"/_inference/{n}/{n}/{n}", None, {"Authorization": TOKEN})
        found = await figures(proxy.server.app[METRICS])
        _, body = await get(Admin(proxy.server.app[METRICS], {}), "/metrics")
    assert b"a-telling-name" not in body
    assert b"id-1" not in body
    assert TOKEN.encode() not in body
    # One more route, one more status of another: samples of buckets, too.
    assert len(found) - len(before) < 60


@pytest.mark.parametrize(
    ("listen", "workers", "ports"),
    [("", 1, []), (None, 2, [9280, 9281]), ("[::1]:7000", 1, [7000]), ("127.0.0.1:0", 1, [])],
)
def test_each_worker_has_a_port(listen, workers, ports):
    config = Config(workers=workers, admin=AdminConfig(listen=listen))
    assert admin_ports(config) == ports


async def test_a_taken_port_is_an_error_where_it_was_asked_for():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(admin=AdminConfig(listen=address))
        with pytest.raises(ConfigError, match=r"\[admin.listen\] cannot listen on"):
            async with admin_listening(config, Admin(Metrics(), {})):
                pass


async def test_workers_take_the_next_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(workers=20, admin=AdminConfig(listen=address))
        async with admin_listening(config, Admin(Metrics(), {})) as told:
            assert told.startswith("metrics on http://127.0.0.1:")
            assert address not in told


async def test_nothing_listens_where_it_is_off():
    config = Config(admin=AdminConfig(listen=""))
    async with admin_listening(config, Admin(Metrics(), {})) as told:
        assert told.startswith("no metrics")
