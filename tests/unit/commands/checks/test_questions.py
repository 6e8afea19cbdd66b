"""What a node is asked, and why it does not answer."""

from __future__ import annotations

import errno
from typing import Any

import orjson
import pytest

from proxy.commands.checks.questions import NodeFailed, Questioner, Reply, reason_of
from proxy.config import UpstreamConfig
from tests.support.stubs import FaultyServer, json_reply
from tests.support.stubs import Reply as Stub


async def asked(url: str, target: str = "/", body: Any = None, **upstream: Any) -> Reply:
    async with Questioner(url, UpstreamConfig(url=url, **upstream)) as questioner:
        return await questioner.ask(target, body)


async def test_a_question_has_the_proxys_credentials():
    headers = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}
    async with FaultyServer([json_reply({"a": 1}, headers=headers)] * 2) as node:
        reply = await asked(node.url, "/x%2Fy?z", api_key="s3cret", host="es.example")
        assert (reply.status, reply.json, reply.product) == (200, {"a": 1}, "Elasticsearch")
        await asked(node.url, "/x", {"b": 2})
        first, second = node.calls
    assert (first.method, first.target) == ("GET", "/x%2Fy?z")
    assert (first.headers["Authorization"], first.headers["Host"]) == (
        "ApiKey s3cret",
        "es.example",
    )
    assert (second.method, orjson.loads(second.body)) == ("POST", {"b": 2})


async def test_an_answer_that_is_no_json_has_none():
    async with FaultyServer([Stub(body=b"<html>")]) as node:
        assert (await asked(node.url)).json is None


async def test_a_node_that_is_away():
    with pytest.raises(NodeFailed, match="it cannot be reached: Connection refused"):
        await asked("http://127.0.0.1:1")


async def test_a_node_that_drops_connections():
    async with FaultyServer([Stub(fault="reset")] * 5) as node:
        with pytest.raises(NodeFailed, match="did not answer in HTTP"):
            await asked(node.url)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (OSError(errno.ECONNREFUSED, "[Errno 111] 10.0.0.1"), "Connection refused"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (OSError(), "OSError"),
    ],
)
def test_reasons_are_those_of_the_system(problem: OSError, reason: str):
    assert reason_of(problem) == reason
