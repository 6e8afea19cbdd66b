"""POSTs over the connections of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from proxy.ground.sessions import HEAD_LIMITS, Connector
from proxy.huggingface.posting import Poster
from tests.support.stubs import Call, FaultyServer, Reply, json_reply


@asynccontextmanager
async def poster() -> AsyncIterator[Poster]:
    async with ClientSession(connector=Connector(), **HEAD_LIMITS) as session:
        made = Poster.of(session)
        assert made is not None
        yield made


async def posted(
    reply: Reply, data: bytes = b"{}", path: str = "", **more: str
) -> tuple[Any, Call]:
    async with FaultyServer([reply]) as server, poster() as made:
        async with await made.post(server.url + path, "hf_token", data, more) as answer:
            body = await answer.content.read()
        (call,) = server.calls
        return (answer.status, answer.headers, body), call


async def test_a_body_is_sent_as_json_with_its_token():
    (status, headers, body), call = await posted(
        json_reply({"a": 1}, 201), b'{"b":2}', "/x?y=1", **{"X-More": "z"}
    )
    assert (status, headers["Content-Type"], body) == (201, "application/json", b'{"a":1}')
    assert (call.method, call.target, call.body) == ("POST", "/x?y=1", b'{"b":2}')
    assert call.headers["Authorization"] == "Bearer hf_token"
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["X-More"] == "z"


async def test_a_large_body_is_whole():
    data = b'"' + b"x" * 300_000 + b'"'
    _, call = await posted(json_reply({}), data)
    assert call.body == data


async def test_a_connection_is_used_again_once_its_answer_is_read():
    async with FaultyServer([json_reply({})] * 2) as server, poster() as made:
        for _ in range(2):
            async with await made.post(server.url, "t", b"{}") as answer:
                await answer.content.read()
        assert made._connector.limit_per_host == 0
        assert sum(map(len, made._connector._conns.values())) == 1


async def test_an_answer_that_breaks_off_is_an_error():
    with pytest.raises((ClientError, OSError)):
        await posted(Reply(fault="reset"))


async def test_a_forward_proxy_wants_requests_of_its_own(tmp_path: Path):
    class Indirect(Connector):
        is_direct = False

    async with ClientSession(connector=Indirect(), **HEAD_LIMITS) as session:
        assert Poster.of(session) is None
    async with ClientSession() as session:
        assert Poster.of(session) is None
