"""`/endpoints` of a proxy whose provider gets into trouble."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

from aiohttp.test_utils import TestClient, TestServer

from proxy.admin import Health, admin_application
from proxy.api.counting import METRICS
from proxy.config.prices import Prices
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from tests.support.application import proxy_with
from tests.support.samples import TOKEN
from tests.support.stubs import event_reply, json_reply

INFER = "/_inference/e1"
USED = {
    "calls": 0,
    "errors": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "characters": 0,
    "queue_seconds": 0.0,
    "provider_seconds": 0.0,
    "provider_queue_seconds": 0.0,
    "compute_seconds": 0.0,
    "outcomes": {},
}


async def shown(metrics):
    app = admin_application(Health({}), metrics)
    async with TestClient(TestServer(app)) as client, client.get("/endpoints") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        return await answer.json()


def endpoints_of(proxy):
    return shown(proxy.server.app[METRICS])


async def test_nothing_is_known_at_first():
    assert await shown(Metrics(Endpoints())) == {"endpoints": [], "others": {}}


async def test_trials_are_nobodys_but_count(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank")
        proxy.provide(json_reply({"error": "no"}, 401))
        await proxy.put("rerank", "e2")
        found = await endpoints_of(proxy)
    assert found["endpoints"] == []
    used = found["others"]["rerank"]
    assert (used["calls"], used["errors"]) == (2, 1)


async def test_the_last_state_its_beginning_and_the_last_error_are_shown(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy("POST", INFER, {"input": ["abc", "de"]})
        (one,) = (await endpoints_of(proxy))["endpoints"]
        assert (one["inference_id"], one["task_type"]) == ("e1", "text_embedding")
        assert (one["state"], one["last_error"], one["usage"]["outcomes"]) == (
            "ok",
            None,
            {"ok": 1},
        )
        assert (one["usage"]["calls"], one["usage"]["characters"]) == (1, 5)
        paused = {"error": "Bad Request: The endpoint is paused, ask a maintainer to restart it"}
        proxy.provide(json_reply(paused, 400))
        before = datetime.now(UTC)
        await proxy("POST", INFER, {"input": "x"})
        await proxy("POST", INFER, {"input": "x"})
        (one,) = (await endpoints_of(proxy))["endpoints"]
    assert one["state"] == "paused"
    error = one["last_error"]
    assert (error["state"], error["provider_status"]) == ("paused", 400)
    assert error["hint"].startswith("The endpoint is paused.")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["since"])
    assert abs((datetime.fromisoformat(one["since"]) - before).total_seconds()) < 60
    assert one["since"] <= error["at"] == one["last_call"]
    assert one["usage"]["outcomes"] == {"ok": 1, "paused": 2}
    assert USED.keys() == one["usage"].keys()
    assert TOKEN not in str(one)
    assert proxy.provider.url not in str(one)


async def test_what_callers_do_wrong_is_no_state_of_the_provider(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank")
        proxy.provide(json_reply({"error": "`inputs` must have less than 5 tokens"}, 422))
        await proxy("POST", INFER, {"input": "x", "query": "q"})
        (one,) = (await endpoints_of(proxy))["endpoints"]
    assert (one["state"], one["last_error"]["state"]) == ("ok", "input_too_long")


async def test_tokens_of_headers_replies_and_events_are_counted(tmp_path):
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    headers = {
        "Content-Type": "application/json",
        "x-compute-tokens": "11",
        "x-queue-time": "20",
        "x-inference-time": "30",
    }
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy.put("completion", "e2")
        await proxy.put("chat_completion", "e3")
        proxy.provide(json_reply([[0.5]], headers=headers))
        await proxy("POST", INFER, {"input": "x"})
        choice = {"index": 0, "message": {"content": "hi"}, "delta": {"content": "hi"}}
        reply = {"id": "1", "model": "m", "object": "o", "choices": [choice], "usage": usage}
        proxy.provide(json_reply(reply))
        await proxy("POST", "/_inference/e2", {"input": "hello"})
        event = "data: " + json_reply(reply).body.decode() + "\n\n"
        proxy.provide(event_reply(event, event, "data: [DONE]\n\n"))  # each tells the sum
        await proxy("POST", "/_inference/e2/_stream", {"input": "hello"})
        hello = {"messages": [{"role": "user", "content": "hello"}]}
        await proxy("POST", "/_inference/chat_completion/e3/_stream", hello)
        found = (await endpoints_of(proxy))["endpoints"]
    used = {one["inference_id"]: one["usage"] for one in found}
    assert used["e1"]["input_tokens"] == 11
    assert (used["e1"]["provider_queue_seconds"], used["e1"]["compute_seconds"]) == (0.02, 0.03)
    assert (used["e2"]["input_tokens"], used["e2"]["output_tokens"]) == (14, 6)
    assert (used["e3"]["input_tokens"], used["e3"]["output_tokens"]) == (7, 3)
    assert (used["e2"]["characters"], used["e3"]["characters"]) == (10, 5)


async def test_who_leaves_while_the_rate_limit_is_waited_for_has_waited(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank", service_settings={"rate_limit": {"requests_per_minute": 1}})
        late = await proxy("POST", "/_inference/e1?timeout=200ms", {"query": "q", "input": "x"})
        assert late.status == 429
        ((one,), _) = (await endpoints_of(proxy)).values()
    assert (one["usage"]["calls"], one["usage"]["queue_seconds"] > 0.1) == (0, True)


async def test_a_cost_is_shown_where_prices_are_configured():
    metrics = Metrics(Endpoints(prices=Prices(["*=2"])))
    metrics.endpoints.of("e1", "rerank").usage.cost = 0.25
    ((one,), _) = (await shown(metrics)).values()
    assert one["usage"] == USED | {"cost": 0.25}
    assert (one["since"], one["last_call"]) == (None, None)


async def test_another_model_is_shown():
    metrics = Metrics(Endpoints())
    metrics.endpoints.of("e1", "text_embedding")
    metrics.endpoints.of("e2", "text_embedding").has_other_model = True
    ((one, other), _) = (await shown(metrics)).values()
    assert (one.get("has_other_model"), other["has_other_model"]) == (None, True)


async def test_a_stream_that_breaks_off_is_told(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("completion")
        chunk = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        proxy.provide(event_reply(chunk, fault="reset_after"))
        await proxy("POST", INFER + "/_stream", {"input": "hello"})
        (one,) = (await endpoints_of(proxy))["endpoints"]
    assert (one["state"], one["usage"]["outcomes"]) == ("unreachable", {"ok": 1, "unreachable": 1})


async def test_a_request_that_runs_late_is_told(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank")
        proxy.provide(json_reply([], delay=60))
        await proxy("POST", INFER + "?timeout=1s", {"input": "x", "query": "q"})
        (one,) = (await endpoints_of(proxy))["endpoints"]
    assert (one["state"], one["usage"]["outcomes"]) == ("timed_out", {"timed_out": 1})


async def test_each_call_that_runs_late_counts_once_whoever_waits_for_it(tmp_path):
    late = {"input": [f"text {number}" for number in range(100)]}
    async with proxy_with(tmp_path, provider={"coalescing": True}) as proxy:
        await proxy.put("text_embedding")
        proxy.provide(json_reply([], delay=60))
        asking = [proxy("POST", INFER + "?timeout=1s", late) for _ in range(3)]
        assert {answer.status for answer in await asyncio.gather(*asking)} == {429}
        calls = len(proxy.provider.calls)
        while True:  # calls end behind the callers' backs
            (one,) = (await endpoints_of(proxy))["endpoints"]
            if one["usage"]["calls"] == calls:
                break
    assert 0 < calls < 12
    assert one["usage"]["outcomes"] == {"timed_out": calls}


async def test_a_deleted_endpoint_is_no_more_and_its_usage_counts_with_others(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank")
        await proxy("POST", INFER, {"input": "x", "query": "q"})
        assert (await proxy("DELETE", INFER + "?dry_run")).status == 200
        assert len((await endpoints_of(proxy))["endpoints"]) == 1
        assert (await proxy("DELETE", INFER)).status == 200
        found = await endpoints_of(proxy)
    assert found["endpoints"] == []
    assert found["others"]["rerank"]["calls"] == 2
