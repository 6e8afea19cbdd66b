"""Browsers: `_inference` answers an origin as Elasticsearch does, whose settings decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from yarl import URL

from testbed.elasticsearch import Elasticsearch, start
from tests.support.endpoints import JSON, delete_all_endpoints, put
from tests.support.rawhttp import Answer, Headers, send
from tests.support.security import wait_until_settled
from tests.support.stubs import contract_reply, event_reply
from tests.support.users import ROLES, USERS, basic, store_credentials

APP: Final = "https://app.example"
FOREIGN: Final = "https://evil.example"
ON: Final = {"http.cors.enabled": True}
KINDS: Final[dict[str, dict[str, Any]]] = {
    "list": {
        **ON,
        "http.cors.allow-origin": f"{APP},https://b.example",
        "http.cors.allow-credentials": True,
        "http.cors.allow-methods": "GET, POST",
        "http.cors.max-age": 60,
    },
    "regex": {
        **ON,
        "http.cors.allow-origin": r"/https:\/\/app\..*/",
        "http.cors.allow-headers": "Authorization, X-Mine",
    },
    "any": {**ON, "http.cors.allow-origin": "*"},
}
SECURED: Final = ("list",)


@dataclass(frozen=True)
class Setup:
    elasticsearch: Elasticsearch
    lane: str
    no_lane: str
    credentials: Headers

    def both(self, method: str, target: str, headers: Headers, body: bytes | None = None):
        """The answers of both ways to the proxy, and the one of Elasticsearch itself to `/`."""
        host = ("Host", "es.example:9200")
        sent = [host, *headers]
        direct = send(self.elasticsearch.url, method, "/", sent)
        answers = [send(url, method, target, sent, body) for url in (self.lane, self.no_lane)]
        return answers, direct


def seen(answer: Answer) -> list[tuple[str, str]]:
    """What a browser looks at, without the order of names."""
    return sorted(
        (name.lower(), value)
        for name, value in answer.headers
        if re.match("access-control-|vary", name.lower())
    )


@pytest.fixture(scope="module", params=KINDS)
def setup(request, serve_for_session) -> Iterator[Setup]:
    secured = request.param in SECURED
    running = start(
        secured=secured, users=USERS, roles=ROLES, settings=KINDS[request.param], say=lambda _: None
    )
    try:
        if secured:
            wait_until_settled(running.url)
        env = store_credentials() if secured else {}
        lane = serve_for_session(upstream=running.url, env=env)
        no_lane = serve_for_session("--no-lane", upstream=running.url, env=env)
        credentials = [("Authorization", basic("admin"))] if secured else []
        yield Setup(running, lane.url, no_lane.url, credentials)
        lane.stop()
        no_lane.stop()
    finally:
        running.stop()


@pytest.mark.parametrize("origin", [APP, FOREIGN, "http://es.example:9200", "null", ""])
@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/_inference"), ("GET", "/_inference/nope"), ("PUT", "/_inference/a/b/c")],
)
def test_answers_carry_what_elasticsearchs_carry(setup, method, target, origin):
    headers = [("Origin", origin), *setup.credentials]
    answers, direct = setup.both(method, target, headers)
    for answer in answers:
        assert seen(answer) == seen(direct)
        assert (answer.status == 403) == (direct.status == 403)
        if direct.status == 403:
            assert answer.body == direct.body == b""
    assert bool(seen(direct)) == (direct.status != 403 and origin != "")


@pytest.mark.parametrize("setup", SECURED, indirect=True)
@pytest.mark.parametrize("origin", [APP, FOREIGN])
def test_an_unauthenticated_caller_is_401_first(setup, origin):
    answers, direct = setup.both("GET", "/_inference", [("Origin", origin)])
    assert direct.status == 401
    for answer in answers:
        assert (answer.status, seen(answer)) == (401, seen(direct))


@pytest.mark.parametrize("origin", [APP, FOREIGN, ""])
@pytest.mark.parametrize("target", ["/_inference", "/_inference/x/_stream", "/_inference/a/b/c"])
def test_a_preflight_is_answered_as_by_elasticsearch(setup, target, origin):
    """Browsers send it without credentials."""
    headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ]
    answers, direct = setup.both("OPTIONS", target, headers)
    for answer in answers:
        assert seen(answer) == seen(direct)
        assert (answer.status, answer.body) == (direct.status, direct.body)
        assert answer.header("content-type") is None
        assert answer.header("allow") is None


def test_streams_and_errors_amid_them(setup, stub):
    delete_all_endpoints(setup.lane, *(value for _, value in setup.credentials))
    put(setup.lane, "words", stub.url, "completion", headers=setup.credentials)
    headers = [("Origin", APP), *JSON, *setup.credentials]
    target = "/_inference/completion/words/_stream"
    for reply in (contract_reply, lambda call: event_reply("data: {x\n\n")):
        stub.answer = reply
        answers, direct = setup.both("POST", target, headers, b'{"input":"a"}')
        for answer in answers:
            assert answer.status == 200
            assert seen(answer) == seen(direct) != []
    stub.answer = contract_reply


def test_a_refused_origin_runs_nothing(setup, stub):
    delete_all_endpoints(setup.lane, *(value for _, value in setup.credentials))
    put(setup.lane, "words", stub.url, "completion", headers=setup.credentials)
    stub.calls.clear()
    headers = [("Origin", FOREIGN), *JSON, *setup.credentials]
    answers, direct = setup.both("POST", "/_inference/words", headers, b'{"input":"a"}')
    refused = direct.status == 403
    assert [answer.status == 403 for answer in answers] == [refused] * 2
    assert bool(stub.calls) != refused


def test_without_an_origin_nothing_is_added(setup):
    answers, _ = setup.both("GET", "/_inference", setup.credentials)
    assert [(answer.status, seen(answer)) for answer in answers] == [(200, [])] * 2


@pytest.mark.parametrize("way", ["lane", "no_lane"])
def test_the_proxys_own_address_is_the_same_origin(setup, way):
    url = URL(getattr(setup, way))
    headers = [("Host", url.authority), ("Origin", str(url.origin())), *setup.credentials]
    answer = send(str(url), "GET", "/_inference", headers)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") in (str(url.origin()), "*")
