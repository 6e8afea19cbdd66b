"""The API key that `setup` makes."""

from __future__ import annotations

import base64
from typing import Any, Final

import pytest

from proxy.config import UpstreamConfig
from proxy.ground.errors import StoreError
from proxy.store.elasticsearch.apikey import VERSION, ApiKey, Rights, make_api_key
from tests.support.stubs import FaultyServer, Reply, json_reply
from tests.unit.store.elasticsearch.indices import PRODUCT

GRANTED: Final = {"read": True, "write": True, "create_index": True}


def answer(value: Any, status: int = 200) -> Reply:
    return json_reply(value, status, headers=PRODUCT)


def rights(version: bool = True, **more: bool) -> Reply:
    cluster = {VERSION: version, "monitor": more.pop("monitor", True)}
    return answer({"cluster": cluster, "index": {"i": {**GRANTED, **more}}})


MADE: Final = answer({"id": "id", "api_key": "key"})


async def made(*replies: Reply, **more: Any) -> tuple[ApiKey, Any]:
    """The key, and the role that it was given."""
    async with FaultyServer(list(replies)) as server:
        upstream = UpstreamConfig(url=server.url, username="u", password="p")
        key = await make_api_key(upstream, "i", Rights(**more))
        return key, server.calls[1].json["role_descriptors"]["endpoint-store"]


async def test_a_key_may_what_the_store_needs():
    key, role = await made(rights(), MADE)
    assert key == ApiKey(id="id", encoded=base64.b64encode(b"id:key").decode(), tells_version=True)
    assert role["cluster"] == [VERSION]
    assert role["indices"] == [{"names": ["i"], "privileges": list(GRANTED)}]


async def test_it_has_no_right_that_its_maker_lacks():
    key, role = await made(rights(version=False), MADE)
    assert not key.tells_version
    assert role["cluster"] == []


async def test_more_rights_may_be_asked_for():
    _, role = await made(rights(), MADE, cluster=["monitor"])
    assert role["cluster"] == [VERSION, "monitor"]


@pytest.mark.parametrize(
    ("replies", "text"),
    [
        ([rights(write=False)], r"\[u\] lacks \[write\] on the index \[i\]"),
        ([answer({}, 405)], "security switched off: the proxy needs no API key"),
        ([answer({}, 401)], r"does not know the user \[u\]"),
        ([answer({"error": {"type": "x"}}, 500)], "answered 500 x"),
        ([json_reply({})], "is no Elasticsearch"),
        ([rights(), answer({}, 403)], r"needs the cluster privilege \[manage_own_api_key\]"),
        ([rights(), answer({"error": "api keys are not enabled"}, 400)], "API keys switched off"),
        ([rights(), answer({"error": {"type": "y"}}, 400)], "answered 400 y"),
    ],
)
async def test_what_hinders_it_is_named(replies: list[Reply], text: str):
    with pytest.raises(StoreError, match=text):
        await made(*replies)


async def test_rights_that_lack_are_named_together():
    with pytest.raises(StoreError, match=r"\[monitor\] of the cluster and \[read\] on the index"):
        await made(rights(monitor=False, read=False), cluster=["monitor"])


async def test_one_that_cannot_be_reached():
    upstream = UpstreamConfig(url="http://127.0.0.1:1", username="u", password="p")
    with pytest.raises(StoreError, match=r"Cannot reach \[http://127\.0\.0\.1:1\]"):
        await make_api_key(upstream, "i")
