"""The figures of a process, as Prometheus asks for them."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin import Health, admin_application
from proxy.api.counting import METRICS
from proxy.config import LimitsConfig
from tests.support.application import proxy_with
from tests.support.samples import TOKEN
from tests.support.stubs import json_reply
from tests.unit.api.test_limits import EMBED, STREAM

OWN = {
    "streams_open": ("gauge", "Streams under way"),
    "calls_open": ("gauge", "Calls under way"),
    "endpoint_calls": ("counter", "Calls to the provider of an inference endpoint"),
    "endpoint_characters": ("counter", "Characters of the texts that were sent"),
    "endpoint_compute_seconds": ("counter", "Time at the provider's model, where it tells"),
    "endpoint_errors": ("counter", "Those of them that failed"),
    "endpoint_provider_queue_seconds": (
        "counter",
        "Time in the provider's own queue, where it tells",
    ),
    "endpoint_provider_seconds": ("counter", "Time until the last byte of each reply"),
    "endpoint_queue_seconds": (
        "counter",
        "Time that calls waited for the rate limit, or for a busy server",
    ),
    "endpoint_other_model": (
        "gauge",
        "1 for an inference endpoint that has another model than at first",
    ),
    "endpoint_state": (
        "gauge",
        "1 for the state of an inference endpoint's provider, as of the last call",
    ),
    "endpoint_tokens": ("counter", "Tokens, as the provider counts them"),
    "endpoint_reads": ("counter", "Endpoints looked up, by where they were found"),
    "held_bytes": ("gauge", "Memory of bodies and replies, as estimated"),
    "limits_hit": ("counter", "Requests refused because of a limit"),
    "privilege_checks": ("counter", "Privilege checks, by who answers"),
    "provider_calls": ("counter", "Calls to providers"),
    "provider_outcomes": ("counter", "Calls to providers, by what they tell"),
    "provider_retries": ("counter", "Calls to providers that repeat a failed one"),
    "provider_seconds": ("histogram", "Time until the last byte of a provider's reply"),
    "rate_limit_wait_seconds": ("counter", "Time that they waited, together"),
    "rate_limit_waiting": ("gauge", "Calls that wait for their endpoint's rate limit now"),
    "cold_start_waiting": ("gauge", "Calls that wait for their provider to start now"),
    "rate_limit_waits": ("counter", "Calls that waited for their endpoint's rate limit"),
    "request_seconds": ("histogram", "Time until the last byte of the answer was written"),
    "requests": ("counter", "Requests that the application has answered"),
}


async def shown(proxy):
    app = admin_application(Health({}), proxy.server.app[METRICS])
    async with TestClient(TestServer(app)) as client, client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        return await answer.text()


def figures(text):
    """Samples by name and the values of labels, in the order of their names."""
    return {
        (sample.name.removeprefix("hfproxy_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_figures_tell_what_happened(tmp_path):
    async with proxy_with(tmp_path, inputs=2) as proxy:
        rate = {"rate_limit": {"requests_per_minute": 60}}  # so that a busy machine waits, too
        await proxy.put("text_embedding", service_settings=rate)
        await proxy("POST", EMBED, {"input": "x"})
        await proxy("POST", EMBED, {"input": ["x"] * 3})
        await proxy("POST", STREAM, {"input": "x"})
        await proxy("GET", "/_inference/_all")
        proxy.provide(json_reply({"error": "no"}, 503))
        await proxy("POST", EMBED, {"input": "x"})
        found = figures(await shown(proxy))
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
    assert found["provider_outcomes_total", "ok", "text_embedding"] == 2
    assert found["provider_outcomes_total", "overloaded", "text_embedding"] == 3
    assert found["endpoint_calls_total", "e1", "text_embedding"] == 4
    assert found["endpoint_calls_total", "_others", "text_embedding"] == 1  # of the trial
    assert found["endpoint_errors_total", "e1", "text_embedding"] == 3
    assert found["endpoint_characters_total", "e1", "text_embedding"] == 4
    assert found["endpoint_queue_seconds_total", "e1", "text_embedding"] > 0
    assert found["endpoint_state", "e1", "overloaded", "text_embedding"] == 1
    assert found["process_open_fds",] > 0


async def test_every_figure_has_its_name_kind_and_text(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        families = list(text_string_to_metric_families(await shown(proxy)))
    own = {
        family.name.removeprefix("hfproxy_"): (family.type, family.documentation)
        for family in families
        if family.name.startswith("hfproxy_")
    }
    assert own == OWN
    labels = {(family.name, *sample.labels) for family in families for sample in family.samples}
    assert ("hfproxy_endpoint_reads", "source") in labels
    assert ("hfproxy_privilege_checks", "source") in labels
    others = {family.name for family in families} - {f"hfproxy_{name}" for name in own}
    assert others == {
        "process_cpu_seconds",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }


async def test_figures_hold_no_secrets_and_do_not_grow_with_what_is_sent(tmp_path):
    async with proxy_with(tmp_path, streams=LimitsConfig().streams) as proxy:
        await proxy.put("text_embedding", name="a-telling-name")
        before = figures(await shown(proxy))
        for n in range(20):
            await proxy("GET", f"/_inference/rerank/id-{n}")
            await proxy("GET", f"/_inference/{n}/{n}/{n}", None, {"Authorization": TOKEN})
        text = await shown(proxy)
    found = figures(text)
    assert "a-telling-name" not in text  # it has been tried, but not called since
    assert "id-1" not in text
    assert TOKEN not in text
    # One more route, one more status of another: samples of buckets, too.
    assert len(found) - len(before) < 60
