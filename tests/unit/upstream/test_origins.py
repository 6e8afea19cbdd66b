"""What is asked about origins, and remembered; the real settings are in integration."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.crossorigin import UNAFFECTED, OriginVerdict
from proxy.ground.errors import UpstreamTimedOut, UpstreamUnavailable
from proxy.upstream.origins import FRESHNESS, MAX_LENGTH, MAX_REMEMBERED
from tests.support.callers import Clock, sending
from tests.support.stubs import FaultyServer, Reply
from tests.support.upstreams import open_origins

APP = ("Origin", "https://app.example")
HOST = ("Host", "proxy:9200")
METHOD = ("Access-Control-Request-Method", "POST")
SHARED = [
    ("Access-Control-Allow-Origin", "https://app.example"),
    ("Vary", "origin"),
    ("Access-Control-Allow-Credentials", "true"),
]
ALLOWED = Reply(headers=CIMultiDict([*SHARED, ("X-elastic-product", "Elasticsearch")]))
REFUSED = Reply(status=403, headers={})
CORS_IS_OFF = Reply(headers={"Allow": "GET", "vary": "accept-encoding"})


@asynccontextmanager
async def asking(answer, clock=None, **config):
    async with FaultyServer(answer) as server:
        upstream = UpstreamConfig(url=server.url, **config)
        async with open_origins(upstream, clock=clock or Clock()) as origins:
            yield server, origins


async def test_without_an_origin_nothing_is_asked():
    async with asking([ALLOWED]) as (server, origins):
        assert await origins.judge("GET", sending(HOST)) is UNAFFECTED
        assert await origins.judge("OPTIONS", sending(HOST, METHOD)) is UNAFFECTED
        assert server.calls == []


async def test_without_an_upstream_nothing_is_asked():
    async with open_origins(UpstreamConfig()) as origins:
        assert await origins.judge("GET", sending(APP, HOST)) is UNAFFECTED


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (ALLOWED, OriginVerdict(headers=SHARED)),
        (REFUSED, OriginVerdict(status=403)),
        (CORS_IS_OFF, UNAFFECTED),
        (Reply(status=403, body=b"{}"), UNAFFECTED),
        (Reply(status=401, headers=CIMultiDict(SHARED), body=b"{}"), OriginVerdict(headers=SHARED)),
    ],
)
async def test_the_upstreams_answer_is_the_verdict(reply, verdict):
    async with asking([reply]) as (server, origins):
        assert await origins.judge("POST", sending(APP, HOST, METHOD)) == verdict
    (call,) = server.calls
    assert (call.method, call.target) == ("OPTIONS", "/")
    assert (call.headers["Origin"], call.headers["Host"]) == (APP[1], HOST[1])
    assert METHOD[0] not in call.headers  # that would make a preflight of it


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (ALLOWED, OriginVerdict(headers=SHARED, status=200)),
        (REFUSED, OriginVerdict(status=403)),
        (CORS_IS_OFF, UNAFFECTED),
    ],
)
async def test_a_preflight_is_asked_as_one(reply, verdict):
    wanted = ("Access-Control-Request-Headers", "authorization")
    async with asking([reply]) as (server, origins):
        assert await origins.judge("OPTIONS", sending(APP, HOST, METHOD, wanted)) == verdict
    (call,) = server.calls
    assert (call.headers[METHOD[0]], call.headers[wanted[0]]) == (METHOD[1], wanted[1])


async def test_no_credentials_are_shown():
    secrets = [("Authorization", "Basic alice"), ("Cookie", "a=b"), ("X-Opaque-Id", "x")]
    async with asking([ALLOWED]) as (server, origins):
        await origins.judge("GET", sending(APP, HOST, *secrets))
    assert not {name for name, _ in secrets} & set(server.calls[0].headers)


async def test_two_origins_are_passed_on_as_they_came():
    other = ("origin", "https://other.example")
    async with asking([ALLOWED]) as (server, origins):
        await origins.judge("GET", sending(APP, other, HOST))
    assert server.calls[0].headers.getall("Origin") == [APP[1], other[1]]


async def test_the_configured_host_is_what_the_upstream_sees():
    async with asking([ALLOWED], host="es.example") as (server, origins):
        await origins.judge("GET", sending(APP, HOST))
    assert server.calls[0].headers.getall("Host") == ["es.example"]


async def test_a_verdict_is_kept_for_that_origin_and_host():
    clock = Clock()
    async with asking([ALLOWED], clock) as (server, origins):
        for _ in range(3):
            assert (await origins.judge("GET", sending(APP, HOST))).headers == SHARED
        assert len(server.calls) == 1
        await origins.judge("GET", sending(("Origin", "https://other.example"), HOST))
        await origins.judge("GET", sending(APP, ("Host", "other")))
        await origins.judge("OPTIONS", sending(APP, HOST, METHOD))
        assert len(server.calls) == 4
        clock.now += FRESHNESS
        await origins.judge("GET", sending(APP, HOST))
        assert len(server.calls) == 5


async def test_what_is_asked_at_once_is_asked_once():
    async with asking([Reply(headers=ALLOWED.headers, delay=0.05)]) as (server, origins):
        verdicts = await asyncio.gather(
            *(origins.judge("GET", sending(APP, HOST)) for _ in range(9))
        )
        assert len(server.calls) == 1
    assert {verdict.status for verdict in verdicts} == {None}


async def test_memory_is_bounded():
    async with asking([REFUSED]) as (_, origins):
        for n in range(MAX_REMEMBERED + 5):
            await origins.judge("GET", sending(("Origin", str(n)), HOST))
        await origins.judge("GET", sending(("Origin", "x" * MAX_LENGTH), HOST))
        assert len(origins._kept) == MAX_REMEMBERED


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_upstream_in_trouble_has_not_answered(status):
    async with asking([Reply(status=status), ALLOWED]) as (_, origins):
        with pytest.raises(UpstreamUnavailable, match=rf"\[{status}\]"):
            await origins.judge("GET", sending(APP, HOST))
        assert (await origins.judge("GET", sending(APP, HOST))).headers == SHARED


async def test_an_upstream_that_is_away_or_slow_is_not_named():
    async with open_origins(UpstreamConfig(url="http://127.0.0.1:1")) as origins:
        with pytest.raises(UpstreamUnavailable) as away:
            await origins.judge("GET", sending(APP, HOST))
    async with asking([Reply(fault="hang")], check_timeout=0.1) as (_, origins):
        with pytest.raises(UpstreamTimedOut) as late:
            await origins.judge("GET", sending(APP, HOST))
    assert "127.0.0.1" not in str(away.value) + str(late.value)


async def test_a_failure_of_tls_says_why():
    async with FaultyServer([ALLOWED]) as server:
        upstream = UpstreamConfig(url=server.url.replace("http:", "https:"))
        async with open_origins(upstream) as origins:
            with pytest.raises(UpstreamUnavailable, match="cannot be reached: ") as failed:
                await origins.judge("GET", sending(APP, HOST))
    assert "127.0.0.1" not in str(failed.value)
