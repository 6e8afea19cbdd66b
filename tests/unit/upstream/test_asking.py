"""What is asked in the proxy's own name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamBroken, UpstreamUnavailable
from proxy.upstream.asking import Asking
from proxy.upstream.forward import Forwarder, forwarding
from proxy.upstream.nodes import Nodes
from proxy.upstream.session import open_session
from tests.support.stubs import FaultyServer, Reply, json_reply

NO_ROUTE = {"error": "no handler found for uri [/_inference] and method [GET]", "status": 400}


@asynccontextmanager
async def asking(reply: Reply, **more: Any) -> AsyncIterator[Asking]:
    async with FaultyServer([reply]) as server, asking_of(server, **more) as upstream:
        yield upstream


@asynccontextmanager
async def asking_of(server: FaultyServer, **more: Any) -> AsyncIterator[Asking]:
    upstream = UpstreamConfig(url=server.url, **more)
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        yield Asking(session, Forwarder(session, forwarding(upstream)), upstream)


async def has_inference(reply: Reply) -> bool:
    async with asking(reply) as upstream:
        return await upstream.has_inference()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (json_reply({"endpoints": []}), True),
        (json_reply({"error": {"type": "security_exception"}}, 403), True),
        (json_reply(NO_ROUTE, 400), False),
    ],
)
async def test_whether_it_has_inference_is_told_by_its_answer(reply, expected):
    assert await has_inference(reply) is expected


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_upstream_that_recovers_does_not_tell(status):
    with pytest.raises(UpstreamUnavailable):
        await has_inference(json_reply({"error": {"type": "cluster_block_exception"}}, status))


async def test_an_answer_may_have_so_many_bytes_as_is_configured():
    reply = json_reply(["x" * 96])  # of a hundred bytes
    async with asking(reply, answer_size=100) as upstream:
        assert len((await upstream.ask_as_proxy("GET", "/x")).body) == 100
    async with asking(reply, answer_size=99) as upstream:
        with pytest.raises(UpstreamBroken, match=r"\[99\] bytes; \[upstream.answer_size\]"):
            await upstream.ask_as_proxy("GET", "/x")


@pytest.mark.parametrize("length", [1, 100_000])
async def test_a_body_in_pieces_arrives_as_one(length: int):
    headers = {"Content-Type": "application/x-ndjson", "Content-Length": "1"}
    request = make_mocked_request("POST", "/x", headers=headers)
    body = [letter * length for letter in (b"a", b"b", b"c")]
    pieces = body.copy()
    async with FaultyServer([json_reply({})]) as server, asking_of(server) as upstream:
        answer = await upstream.ask_as_caller(request, "POST", "/x", pieces)
    (call,) = server.calls
    assert (answer.status, call.body) == (200, b"".join(body))
    if length > 1:  # the answer may take long, and nobody needs them meanwhile
        assert not pieces
    assert call.headers["Content-Length"] == str(3 * length)
    assert call.headers["Content-Type"] == "application/x-ndjson"
