"""The application's own requests, before several nodes of which some fail."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import ClientOSError, ClientSession, web
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamBroken, UpstreamTimedOut, UpstreamUnavailable
from proxy.upstream.nodes import Nodes
from proxy.upstream.security import Security
from proxy.upstream.session import Question, UpstreamSession, open_session
from tests.support.nodes import BUSY, OK, StubNode
from tests.support.upstreams import open_forwarder, open_privileges

GET = Question(method="GET", target="/x", headers=CIMultiDict())


@asynccontextmanager
async def stub_nodes(count: int) -> AsyncIterator[tuple[list[StubNode], UpstreamConfig]]:
    nodes = [StubNode() for _ in range(count)]
    for node in nodes:
        await node.start()
    try:
        async with asyncio.timeout(20):
            yield nodes, UpstreamConfig(url=",".join(node.url for node in nodes))
    finally:
        for node in nodes:
            node.kill()


@asynccontextmanager
async def session_before(count: int) -> AsyncIterator[tuple[list[StubNode], UpstreamSession]]:
    async with (
        stub_nodes(count) as (nodes, upstream),
        open_session(upstream, Nodes(*upstream.urls)) as session,
    ):
        yield nodes, session


@pytest.mark.parametrize("fault", ["killed", "lost", "busy"])
async def test_without_the_lane_requests_go_to_another_node_too(
    fault, aiohttp_server, aiohttp_client
):
    async with stub_nodes(2) as (nodes, upstream), open_forwarder(upstream) as forwarder:
        node = nodes[0]
        node.kill() if fault == "killed" else None
        node.answer = BUSY if fault == "busy" else None
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forwarder.hand_on)
        client = await aiohttp_client(app)
        for _ in range(6):
            for method, target, body in (("GET", "/x", None), ("POST", "/_search", b"{}")):
                async with client.request(method, target, data=body) as answer:
                    assert (answer.status, await answer.read()) == (200, b"ok")


@pytest.mark.parametrize("what", ["a list", "a privilege"])
async def test_an_answer_for_ourselves_that_breaks_off_is_asked_for_again(what, aiohttp_client):
    async with stub_nodes(2) as (nodes, upstream):
        nodes[0].answer, nodes[0].breaks_off = OK[:-1], True
        if what == "a privilege":
            head = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n"
            nodes[1].answer = head + b'{"username":"u"}'
            async with open_privileges(upstream) as privileges:
                for _ in range(4):
                    await privileges.ping()
        else:
            async with open_forwarder(upstream) as forwarder:

                async def fetched(request: web.Request) -> web.Response:
                    return web.Response(body=(await forwarder.fetch(request, "/x"))[2])

                app = web.Application()
                app.router.add_get("/", fetched)
                client = await aiohttp_client(app)
                for _ in range(4):
                    async with client.get("/") as answer:
                        assert (answer.status, await answer.read()) == (200, b"ok")
        assert nodes[0].heads
        assert nodes[1].heads


async def test_a_lost_connection_is_tried_again_once():
    async with session_before(1) as ((node,), session):
        search = Question(
            method="POST", target="/_search", headers=CIMultiDict(), body=lambda: b"{}"
        )
        assert (await session.fetch(search, 2)).body == b"ok"
        node.answer = None
        with pytest.raises(UpstreamBroken, match="did not answer properly"):
            await session.fetch(search, 2)
        assert len(node.heads) == 3


async def test_a_question_that_could_not_be_asked_is_let_go_of():
    async with session_before(1) as ((node,), session):
        node.kill()
        gc.collect()
        gc.disable()
        try:
            with suppress(UpstreamUnavailable):
                await session.fetch(GET, 2)
            left = [type(one).__name__ for one in gc.get_objects(generation=0)]
        finally:
            gc.enable()
    assert "ClientConnectorError" not in left


async def test_an_answer_larger_than_the_limit_has_no_body():
    async with session_before(1) as (_, session):
        answers = [await session.fetch(GET, limit) for limit in (1, 2)]
    assert [answer.body for answer in answers] == [None, b"ok"]
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    ("method", "body", "told"),
    [("GET", None, None), ("POST", None, b"0"), ("POST", b"{}", b"2"), ("GET", b"{}", b"2")],
)
async def test_a_question_tells_how_long_its_body_is(method, body, told):
    async with session_before(1) as ((node,), session):
        headers = CIMultiDict({"X-A": "1"})
        question = Question(method=method, target="/x", headers=headers, body=lambda: body)
        await session.fetch(question, 2)
    lines = node.heads[0].split(b"\r\n")
    assert lines[:3] == [
        f"{method} /x HTTP/1.1".encode(),
        f"Host: {node.url[7:]}".encode(),
        b"X-A: 1",
    ]
    assert lines[3:-2] == ([] if told is None else [b"Content-Length: " + told])
    assert node.bodies == [body or b""]


@pytest.mark.parametrize(("status", "made"), [("200 OK", 1), ("400 Bad Request", 2)])
async def test_a_connection_whose_request_was_given_up_is_not_used_again(status, made):
    async with session_before(1) as ((node,), session):
        node.answer = f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok".encode()
        for _ in range(2):
            await session.fetch(GET, 2)
        assert node.connections == made


async def test_a_question_may_limit_the_time_for_its_whole_answer():
    async with session_before(1) as ((node,), session):
        node.answer = OK[:-1]
        hurried = Question(method="GET", target="/x", headers=CIMultiDict(), time_limit=0.1)
        with pytest.raises(UpstreamTimedOut, match="did not answer in time"):
            await session.fetch(hurried, 2)
        assert len(node.heads) == 1


async def test_an_alert_after_the_handshake_is_told_to_callers_of_inference():
    """TLS 1.3 tells of a client's certificate only when the request has been sent."""
    alert = ssl.SSLError(1, "alert")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"

    async def request(*_, **__):
        raise ClientOSError(None, "x") from alert

    upstream = UpstreamConfig(url="https://127.0.0.1:9200")
    client = cast(ClientSession, SimpleNamespace(request=request))
    session = UpstreamSession(client, upstream, Nodes(*upstream.urls))
    security = Security(session, upstream)
    with pytest.raises(UpstreamUnavailable, match=r"client certificate.*\[upstream.certificate\]"):
        await security.is_off()
