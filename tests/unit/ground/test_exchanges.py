"""Requests over the connections of a Connector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientRequest, ClientTimeout, ConnectionTimeoutError, SocketTimeoutError
from yarl import URL

from proxy.ground.exchanges import SharedRequest, exchange
from proxy.ground.sessions import Connector, DroppedWhileIdle
from tests.support.nodes import OK, StubNode

HEAD = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def connections(**bounds: Any) -> AsyncIterator[tuple[StubNode, Any]]:
    """A server, and what sends a request to it and returns the body of the answer.

    `bounds` are those of the Connector.
    """
    node, connector = StubNode(), Connector(**bounds)
    await node.start()

    async def ask(*, sock_read: float | None = None, **options: Any) -> bytes:
        request = SharedRequest("GET", URL(node.url), loop=asyncio.get_running_loop())
        timeout = ClientTimeout(sock_read=sock_read)
        async with await exchange(connector, request, HEAD, b"", timeout, **options) as answer:
            return await answer.content.read()

    try:
        async with asyncio.timeout(20):
            yield node, ask
    finally:
        await connector.close()
        node.kill()


@pytest.mark.parametrize(("last", "made"), [((), 1), ((404,), 1), ((200,), 3)])
async def test_connections_are_used_again_unless_an_answer_is_the_last_one(last, made):
    async with connections() as (node, ask):
        assert [await ask(last=last) for _ in range(3)] == [b"ok"] * 3
        assert node.connections == made


async def test_a_connection_that_has_been_idle_for_long_is_not_used_again():
    async with connections(keepalive_timeout=0.05) as (node, ask):
        await ask()
        await asyncio.sleep(0.1)
        await ask()
        assert node.connections == 2


async def test_connections_that_are_used_again_count_among_those_that_a_host_may_have():
    async with connections(limit_per_host=2) as (node, ask):
        for _ in range(3):
            assert await asyncio.gather(*(ask() for _ in range(4))) == [b"ok"] * 4
        assert node.connections == 2


async def test_connections_of_a_shared_request_are_those_of_others():
    loop = asyncio.get_running_loop()
    one, other = (
        kind("GET", URL("http://x/"), loop=loop) for kind in (SharedRequest, ClientRequest)
    )
    assert one.connection_key is one.connection_key
    assert one.connection_key == other.connection_key


async def test_an_answer_without_a_body_ends_with_its_head():
    async with connections() as (node, ask):
        node.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 340\r\n\r\n"
        assert [await ask(has_body=False) for _ in range(2)] == [b""] * 2
        assert node.connections == 1


@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]])
async def test_an_answer_that_does_not_come_in_time_is_an_error(part):
    async with connections() as (node, ask):
        node.answer = part
        with pytest.raises(SocketTimeoutError):
            await ask(sock_read=0.05)


async def test_a_connection_that_was_dropped_while_idle_says_so(monkeypatch):
    dropped: list[Any] = []
    monkeypatch.setattr(Connector, "was_dropped", lambda _, key: dropped.append(key))
    async with connections() as (node, ask):
        await ask()
        node.answer = None
        with pytest.raises(DroppedWhileIdle):
            await ask()
        assert [key.port for key in dropped] == [node.port]


async def test_a_connection_that_is_not_made_in_time_is_an_error():
    class Slow(Connector):
        async def connect(self, *_: Any) -> Any:
            raise TimeoutError

    connector = Slow()
    async with connector:
        request = ClientRequest("GET", URL("http://x/"), loop=asyncio.get_running_loop())
        with pytest.raises(ConnectionTimeoutError):
            await exchange(connector, request, HEAD, b"", ClientTimeout())
