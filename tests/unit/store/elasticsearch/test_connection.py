"""The client, and its failures as errors of the store."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import StoreError
from proxy.store.elasticsearch.connection import Connection, Unreachable, named_credentials
from tests.support.stubs import Reply, json_reply
from tests.unit.store.elasticsearch.indices import PRODUCT, FakeIndex, connected, failure


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, None),
        ({"api_key": "k"}, "[upstream.api_key]"),
        ({"service_token": "t"}, "[upstream.service_token]"),
        ({"username": "u", "password": "p"}, "[upstream.username] and [upstream.password]"),
    ],
)
def test_credentials_are_named_by_their_settings(given: dict[str, Any], named: str | None):
    assert named_credentials(UpstreamConfig(**given)) == named


async def info(connection: Connection) -> Any:
    async with connection.calling() as client:
        return (await client.info()).body


async def test_a_call_has_the_credentials():
    fake = FakeIndex()
    fake.answers[""] = json_reply({"a": 1}, headers=PRODUCT)
    async with connected(fake) as (connection, server):
        assert await info(connection) == {"a": 1}
        assert server.calls[0].headers["Authorization"] == "ApiKey k"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (failure(429, "es_rejected_execution_exception"), "queue is full"),
        (Reply(body=b"{", headers=PRODUCT), "did not answer what it was asked"),
        (json_reply({}), "is no Elasticsearch"),
    ],
)
async def test_failures_are_errors_of_the_store(reply: Reply, text: str):
    fake = FakeIndex()
    fake.answers[""] = reply
    async with connected(fake) as (connection, _):
        with pytest.raises(StoreError, match=text):
            await info(connection)


async def test_one_that_is_not_open_says_so():
    connection = Connection(UpstreamConfig(url="http://127.0.0.1:1"), StoreConfig())
    with pytest.raises(StoreError, match="is not open"):
        await info(connection)
    await connection.close()


async def test_one_that_is_away_is_told_apart():
    connection = Connection(UpstreamConfig(url="http://127.0.0.1:1"), StoreConfig())
    connection.open()
    with pytest.raises(Unreachable, match="check that Elasticsearch runs"):
        await info(connection)
    await connection.close()
