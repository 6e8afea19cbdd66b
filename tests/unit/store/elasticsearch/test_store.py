"""The Elasticsearch store and servers that misbehave; tests/integration has real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import StoreError, StoreOverloaded
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.store.elasticsearch.mapping import FIELDS
from tests.support.storeconformance import TOKEN, assert_fails, changes, endpoint, with_token
from tests.support.stubs import JSON, Call, FaultyServer, Reply, json_reply

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
    async with open_store(tmp_path, reply, timeout=0.2) as (store, server):
        server.answer = lambda call: reply
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
        beginner = ElasticsearchStore(
            UpstreamConfig(url=server.url),
            StoreConfig(encryption_key=KEY, timeout=0.2),
            folder=tmp_path,
        )
        await beginner.open()  # all the same
        await assert_fails(beginner.get("e1"), StoreError, 503, "^The ")
        await beginner.close()
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("status", "type_", "kind", "text"),
    [
        (429, "es_rejected_execution_exception", StoreOverloaded, "queue is full: try again later"),
        (429, "circuit_breaking_exception", StoreOverloaded, "short of memory: try again later"),
        (503, "unavailable_shards_exception", StoreError, "No shard .*_cluster/allocation/explain"),
        (503, "master_not_discovered_exception", StoreError, "no master.*: check its nodes"),
        (503, "cluster_block_exception", StoreError, "no master.*: check its nodes"),
        (404, "index_not_found_exception", StoreError, "just deleted: try again"),
        (500, "whatever_exception", StoreError, r"status \[500\]: check Elasticsearch's log"),
        (502, "unknown", StoreError, "what stands between it and the proxy"),
    ],
)
async def test_a_change_that_is_refused_names_the_cause_and_the_fix(
    tmp_path, status, type_, kind, text, caplog
):
    """Be it the whole request that is answered with an error, or the one change in it."""
    error = {"type": type_, "reason": TOKEN}
    whole = json_reply({"error": error, "status": status}, status, headers=PRODUCT)
    item = {"create": {"_id": "e1", "status": status, "error": error}}
    for reply in (whole, json_reply({"errors": True, "items": [item]}, headers=PRODUCT)):
        async with open_store(tmp_path, reply) as (store, _):
            await assert_fails(store.create(endpoint()), kind, 429 if status == 429 else 503, text)
    assert TOKEN not in caplog.text
    assert type_ in caplog.text


async def test_a_store_that_is_slow_is_told_from_one_that_is_away(tmp_path):
    async with open_store(tmp_path, Reply(fault="hang"), timeout=0.2) as (store, _):
        text = r"did not answer within \[0.2\] seconds: GET tells whether a change was made"
        await assert_fails(store.create(endpoint()), StoreError, 503, text)
    away = ElasticsearchStore(
        UpstreamConfig(url="http://127.0.0.1:1"), StoreConfig(encryption_key=KEY), folder=tmp_path
    )
    await away.open()
    text = r"cannot be reached: check that Elasticsearch runs, and \[upstream.url\]"
    for call in (away.get("e1"), away.find(), *changes(away)):
        await assert_fails(call, StoreError, 503, text)
    await away.close()


@asynccontextmanager
async def open_store(
    folder: Path, reply: Reply, **config: Any
) -> AsyncIterator[tuple[ElasticsearchStore, FaultyServer]]:
    """A store with an empty index, where `reply` answers changes and reads of one document."""

    def answer(call: Call) -> Reply:
        if call.path.endswith("/_field_caps"):
            fields: dict[str, Any] = {name: {kind: {}} for name, kind in FIELDS.items()}
            return json_reply({"indices": ["i"], "fields": fields}, headers=PRODUCT)
        if call.path.endswith("/_search"):  # for records that open, or have other keys
            found: dict[str, Any] = {"timed_out": False, "_shards": {"failed": 0}}
            found["hits"] = {"hits": []}
            return json_reply(found, headers=PRODUCT)
        return reply

    async with FaultyServer(answer) as server:
        upstream = UpstreamConfig(url=server.url)
        store = ElasticsearchStore(
            upstream, StoreConfig(encryption_key=KEY, **config), folder=folder
        )
        await store.open()
        yield store, server
        await store.close()


@pytest.mark.parametrize(
    "reply", [json_reply({"error": {"type": "x"}}, 503, headers=PRODUCT), Reply(fault="reset")]
)
async def test_a_write_is_sent_once(tmp_path, reply):
    async with open_store(tmp_path, reply) as (store, server):
        for change in (store.create(endpoint()), store.delete("e1")):
            with pytest.raises(StoreError):
                await change
        writes = [call for call in server.calls if call.path.endswith("/_bulk")]
        assert [call.body.split(b'"')[1] for call in writes] == [b"create", b"delete"]
        assert {call.method for call in server.calls} == {"GET", "POST"}
        assert writes[0].headers["Content-Type"] == "application/x-ndjson"
        assert writes[0].headers["Accept"] == "application/json"
