"""How the client speaks: plainly, with bounds, and to the next node if one is away."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from elastic_transport import TransportError

from proxy.config import UpstreamConfig
from proxy.store.elasticsearch.connection import connect
from proxy.store.elasticsearch.transport import ANSWER_LIMIT, JSON, LINES, TOO_LARGE
from tests.support.stubs import FaultyServer, Reply, json_reply
from tests.unit.store.elasticsearch.indices import PRODUCT

AWAY = "http://127.0.0.1:1"


async def asked(url: str, method: str = "GET", path: str = "/", **more: Any) -> Any:
    async with connect(UpstreamConfig(url=url), 1.0) as client:
        headers = {"accept": JSON, "content-type": more.pop("kind", JSON)}
        return (await client.perform_request(method, path, headers=headers, **more)).body


async def test_plain_json_is_asked_for():
    async with FaultyServer([json_reply({}, headers=PRODUCT)] * 2) as server:
        await asked(server.url, "POST", body={"a": 1})
        await asked(server.url, "POST", "/_bulk", body=[{}], kind=LINES)
        first, second = server.calls
    assert (first.headers["Accept"], first.headers["Content-Type"]) == (JSON, JSON)
    assert second.headers["Content-Type"] == LINES


async def test_warnings_of_elasticsearch_are_not_pythons():
    reply = json_reply({"a": 1}, headers={**PRODUCT, "Warning": '299 Elasticsearch "old"'})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with FaultyServer([reply]) as server:
            assert await asked(server.url) == {"a": 1}


async def test_an_answer_beyond_the_bound_is_not_read():
    body = b'{"a":"' + b"x" * ANSWER_LIMIT + b'"}'
    async with FaultyServer([Reply(body=body, headers=PRODUCT)]) as server:
        assert await asked(server.url) == TOO_LARGE


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("POST", "/i/_search?x"), ("POST", "/i/_bulk")]
)
async def test_the_next_node_is_asked_where_one_is_away(method: str, path: str):
    async with FaultyServer(lambda _: json_reply({"a": 1}, headers=PRODUCT)) as server:
        for _ in range(2):  # whichever comes first
            assert await asked(f"{AWAY},{server.url}", method, path) == {"a": 1}


async def test_a_change_that_may_have_been_made_is_not_sent_to_another():
    reset = Reply(fault="reset")
    async with FaultyServer(lambda _: reset) as one, FaultyServer(lambda _: reset) as other:
        with pytest.raises(TransportError):
            await asked(f"{one.url},{other.url}", "POST", "/i/_bulk")
        assert len(one.calls) + len(other.calls) == 1
