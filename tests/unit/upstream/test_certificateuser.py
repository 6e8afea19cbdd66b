"""Nodes that take the proxy's certificate for a user; a real one is in integration."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.config import ConfigError, UpstreamConfig
from proxy.ground.errors import UpstreamUnavailable
from proxy.upstream.certificateuser import FRESHNESS, CertificateGuard, refuse_taken
from proxy.upstream.nodes import Nodes
from proxy.upstream.session import Question, open_session
from tests.support.clock import Clock
from tests.support.stubs import FaultyServer, Reply, json_reply

PKI = json_reply(
    {"username": "proxy", "authentication_type": "realm", "authentication_realm": {"type": "pki"}}
)
NOBODY = json_reply({"error": {"type": "security_exception", "reason": "who?"}}, 401)


@pytest.mark.parametrize(
    "reply",
    [
        NOBODY,
        json_reply({"username": "anybody", "authentication_type": "anonymous"}),
        json_reply({"error": "no handler found for uri"}, 400),
        json_reply({"error": "Incorrect HTTP method"}, 405),
        Reply(status=404, body=b"no such page"),
        json_reply({}),
    ],
)
async def test_a_node_that_names_no_user_is_used(reply):
    clock = Clock()
    async with FaultyServer([reply]) as server:
        guard = CertificateGuard(UpstreamConfig(url=server.url), clock)
        for _ in range(3):
            await guard.vet(server.url)
        assert len(server.calls) == 1
        assert "Authorization" not in server.calls[0].headers
        clock.now += FRESHNESS
        await guard.vet(server.url)
        assert len(server.calls) == 2


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"error": "no master"}, 503),
        json_reply({"error": "busy"}, 429),
        Reply(body=b'{"username"'),
        Reply(body=b"<html>"),
        Reply(fault="reset"),
        Reply(fault="hang"),
    ],
)
async def test_one_that_does_not_tell_is_not(reply):
    async with FaultyServer([reply]) as server:
        guard = CertificateGuard(UpstreamConfig(url=server.url, check_timeout=0.2))
        for _ in range(2):
            with pytest.raises(OSError, match="does not tell whether it takes"):
                await guard.vet(server.url)


async def test_one_that_names_a_user_gets_no_request(caplog):
    async with FaultyServer([PKI]) as server:
        upstream = UpstreamConfig(url=server.url)
        nodes = Nodes(server.url)
        guard = CertificateGuard(upstream)
        for node in nodes:
            node.vet = lambda: guard.vet(server.url)
        with pytest.raises(
            ConfigError, match=r"\[upstream.certificate\] is \[proxy\]: the upstream"
        ):
            await refuse_taken(nodes)
        async with open_session(upstream, nodes) as session:
            question = Question(method="GET", target="/secret", headers=CIMultiDict())
            with pytest.raises(UpstreamUnavailable, match="certificate for a user") as refused:
                await session.fetch(question, 100)
        assert "[proxy]" not in str(refused.value)
        assert {call.path for call in server.calls} == {"/_security/_authenticate"}
    assert "takes the proxy's own certificate for a user" in caplog.text


async def test_one_that_is_away_keeps_nothing_from_starting():
    nodes = Nodes("http://127.0.0.1:1")
    guard = CertificateGuard(UpstreamConfig(url="http://127.0.0.1:1"))
    for node in nodes:
        node.vet = lambda: guard.vet("http://127.0.0.1:1")
    await refuse_taken(nodes)
    with pytest.raises(OSError, match="Cannot connect"):
        await guard.vet("http://127.0.0.1:1")
