"""What the log tells of requests: changes of endpoints, refusals, and at debug every answer."""

from __future__ import annotations

import logging

from tests.support.application import proxy_with
from tests.support.samples import TOKEN

CHANGES = "proxy.api.changes"


def lines(caplog, name):
    return [line.getMessage() for line in caplog.records if line.name == name]


async def test_each_change_of_an_endpoint_is_a_line(tmp_path, caplog):
    caplog.set_level(logging.INFO, "proxy")
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank", "one")
        update = {"service_settings": {"api_key": TOKEN}}
        opaque = {"X-Opaque-Id": "a-script"}
        await proxy("PUT", "/_inference/rerank/one/_update", update, opaque)
        await proxy("DELETE", "/_inference/one?dry_run=true")
        await proxy("DELETE", "/_inference/none")
        await proxy("DELETE", "/_inference/one", headers={"X-Opaque-Id": "b" * 300})
    assert lines(caplog, CHANGES) == [
        "created inference endpoint [one] (rerank)",
        "changed inference endpoint [one] (rerank), X-Opaque-Id [a-script]",
        f"deleted inference endpoint [one] (rerank), X-Opaque-Id [{'b' * 200}…]",
    ]
    assert [vars(line)["event.action"] for line in caplog.records if line.name == CHANGES] == [
        f"inference-endpoint-{change}" for change in ("created", "changed", "deleted")
    ]
    assert TOKEN not in caplog.text


async def test_a_change_that_fails_is_none(tmp_path, caplog):
    caplog.set_level(logging.INFO, "proxy")
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("rerank", "one", service_settings={"url": "http://127.0.0.1:1/x"})
        await proxy("PUT", "/_inference/rerank/one", {"service": "none"})
    assert lines(caplog, CHANGES) == []


async def test_every_answer_is_a_line_at_debug_and_none_at_info(tmp_path, caplog):
    async with proxy_with(tmp_path) as proxy:
        caplog.set_level(logging.INFO, "proxy")
        await proxy("GET", "/_inference/_all")
        assert lines(caplog, "proxy.api.counting") == []
        caplog.set_level(logging.DEBUG, "proxy")
        await proxy("GET", "/_inference/_all")
        await proxy("GET", "/_inference/none")
        await proxy("GET", "/elsewhere")
    first, second, third = lines(caplog, "proxy.api.counting")
    assert first.startswith("GET get_endpoints: 200 in ")
    assert second.startswith("GET get_endpoint: 404 in ")
    assert third.startswith("GET other: 503 in ")


async def test_a_limit_that_refuses_requests_is_told_once(tmp_path, caplog):
    async with proxy_with(tmp_path, inputs=2) as proxy:
        await proxy.put("text_embedding")
        for _ in range(5):
            await proxy("POST", "/_inference/e1", {"input": ["x"] * 3})
    assert lines(caplog, "proxy.api.counting") == ["refused a request because of [limits.inputs]"]
