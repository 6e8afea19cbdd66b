"""The Elasticsearch store against servers that misbehave; the real ones are in integration."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config import StoreConfig, UpstreamConfig
from proxy.errors import StoreError
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.store.index import FIELDS
from tests.storeconformance import TOKEN, endpoint, with_token
from tests.stubs import JSON, FaultyServer, Reply, json_reply

KEY = "11" * 32
PRODUCT = {"X-Elastic-Product": "Elasticsearch", **JSON}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>", headers={"Content-Type": "text/html"}),
        Reply(body=b"{"),
        json_reply({"hits": []}),
        json_reply({}, headers=PRODUCT),
        json_reply([], headers=PRODUCT),
        json_reply({"timed_out": True, "_shards": {"failed": 0}}, headers=PRODUCT),
        json_reply({"timed_out": False, "_shards": {"failed": 1}}, headers=PRODUCT),
        json_reply({"timed_out": False, "_shards": {"failed": 0}}, headers=PRODUCT),
        Reply(fault="reset"),
        Reply(fault="hang"),
        json_reply({"error": {"type": "x", "reason": TOKEN}}, 500),
        json_reply({"error": {"type": TOKEN, "reason": TOKEN}}, 503, headers=PRODUCT),
        Reply(status=404, body=b"no such page"),
        json_reply({"error": "no handler found"}, 404, headers=PRODUCT),
        Reply(status=302, headers={"Location": "/_elsewhere"}),
    ],
)
async def test_answers_that_are_none_are_503(reply, tmp_path, caplog):
    caplog.set_level("DEBUG")
    async with FaultyServer([reply]) as server:
        config = StoreConfig(encryption_key=KEY, timeout=0.2)
        store = ElasticsearchStore(UpstreamConfig(url=server.url), config, folder=tmp_path)
        await store.open()
        store._is_checked = True
        for call in (
            store.get("e1"),
            store.find(),
            store.create(endpoint()),
            store.update("e1", with_token("new")),
            store.delete("e1"),
        ):
            with pytest.raises(StoreError) as error:
                await call
            assert error.value.status == 503
            assert TOKEN not in str(error.value)
        await store.close()
    assert TOKEN not in caplog.text


async def test_a_write_is_sent_once(tmp_path):
    def answer(call):
        if call.path.endswith("/_field_caps"):
            fields: dict[str, Any] = {name: {kind: {}} for name, kind in FIELDS.items()}
            return json_reply({"indices": ["i"], "fields": fields}, headers=PRODUCT)
        if call.method == "POST":  # the search for keys
            found: dict[str, Any] = {"timed_out": False, "_shards": {"failed": 0}}
            found["aggregations"] = {"keys": {"buckets": []}}
            return json_reply(found, headers=PRODUCT)
        return json_reply({"error": {"type": "x"}}, 503, headers=PRODUCT)

    async with FaultyServer(answer) as server:
        config = StoreConfig(encryption_key=KEY)
        store = ElasticsearchStore(UpstreamConfig(url=server.url), config, folder=tmp_path)
        await store.open()
        with pytest.raises(StoreError):
            await store.create(endpoint())
        writes = [call for call in server.calls if call.method == "PUT"]
        assert len(writes) == 1
        assert writes[0].headers["Content-Type"] == "application/x-ndjson"
        assert writes[0].headers["Accept"] == "application/json"
        await store.close()
