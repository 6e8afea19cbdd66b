"""What an answer carries for browsers, before an upstream whose answers a test chooses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Final

import pytest
from multidict import CIMultiDict

from tests.support.application import proxy_with
from tests.support.callers import ASK, WHO
from tests.support.stubs import FaultyServer, Reply, contract_reply, event_reply, json_reply

APP: Final = {"Origin": "https://app.example"}
PREFLIGHT: Final = {**APP, "Access-Control-Request-Method": "POST"}
ALLOWING: Final = [("access-control-allow-origin", APP["Origin"]), ("vary", "origin")]
JSON: Final = ("Content-Type", "application/json")


def shared(answer) -> list[tuple[str, str]]:
    return [
        (name.lower(), value)
        for name, value in answer.headers.items()
        if name.lower().startswith(("access-control-", "vary"))
    ]


@asynccontextmanager
async def before(folder, cors: Reply, *, handed_on: Reply | None = None):
    """A proxy whose upstream has no security, and answers `OPTIONS /` with `cors`."""
    off = CIMultiDict([JSON, ("X-Elastic-Product", "Elasticsearch")])

    def answer(call):
        if call.method == "OPTIONS":
            return cors
        if call.path in (ASK, WHO) or handed_on is None:
            text = f"no handler found for uri [{call.target}] and method [{call.method}]"
            return json_reply({"error": text}, 400, headers=off)
        return handed_on

    async with (
        FaultyServer(answer) as upstream,
        proxy_with(folder, upstream=upstream.url) as proxy,
    ):
        yield proxy, upstream


ALLOWED: Final = Reply(headers=CIMultiDict([*ALLOWING, ("Allow", "GET")]))
REFUSED: Final = Reply(status=403, headers={})
CORS_IS_OFF: Final = Reply(headers={"Allow": "GET"})


async def test_every_kind_of_answer_has_the_headers(tmp_path):
    async with before(tmp_path, ALLOWED) as (proxy, _):
        await proxy.put("completion")
        target = "/_inference/completion/e1/_stream"
        whole = await proxy("POST", target, {"input": "x"}, APP)
        proxy.provide(event_reply("data: {x\n\n"))
        broken = await proxy("POST", target, {"input": "x"}, APP)
        proxy.provide(contract_reply)
        answers = [
            whole,
            broken,
            await proxy("GET", "/_inference/e1", headers=APP),
            await proxy("GET", "/_inference/nope", headers=APP),
            await proxy("GET", "/_inference/a/b/c", headers=APP),
            await proxy("POST", "/_inference/e1", b"{x", APP),
            await proxy("PATCH", "/_inference/e1", headers=APP),
            await proxy("OPTIONS", "/_inference/e1", headers=APP),
        ]
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 400, 400, 405, 200]
    assert [shared(answer) for answer in answers] == [ALLOWING] * len(answers)
    assert answers[-1].headers["Allow"] == "GET,POST,PUT,DELETE"


async def test_an_answer_that_was_handed_on_has_its_own(tmp_path):
    theirs = CIMultiDict([JSON, ("access-control-allow-origin", "*")])
    async with before(tmp_path, ALLOWED, handed_on=json_reply({}, headers=theirs)) as (proxy, _):
        answer = await proxy("GET", "/_inference/theirs", headers=APP)
    assert answer.status == 200
    assert answer.headers.getall("access-control-allow-origin") == ["*"]


async def test_a_refused_origin_gets_nothing(tmp_path):
    async with before(tmp_path, REFUSED) as (proxy, upstream):
        await proxy.put("completion")
        upstream.calls.clear()
        for method in ("GET", "POST", "DELETE", "OPTIONS", "PATCH"):
            answer = await proxy(method, "/_inference/e1", headers=APP)
            assert (answer.status, answer.body, shared(answer)) == (403, b"", [])
            assert {name.lower() for name in answer.headers} <= {"content-length", "connection"}
        assert [call.method for call in upstream.calls] == ["OPTIONS"]
        assert (await proxy("GET", "/_inference/e1")).status == 200


@pytest.mark.parametrize("target", ["/_inference/e1", "/_inference/a/b/c"])
async def test_a_preflight_is_the_upstreams_to_answer(tmp_path, target):
    methods = [("access-control-allow-methods", name) for name in ("GET", "POST")]
    cors = Reply(headers=CIMultiDict([*ALLOWING, *methods, ("X-Other", "x")]))
    async with before(tmp_path, cors) as (proxy, _):
        answer = await proxy("OPTIONS", target, headers=PREFLIGHT)
    assert (answer.status, answer.body) == (200, b"")
    assert shared(answer) == [*ALLOWING, *methods]
    assert "Allow" not in answer.headers
    assert "X-Other" not in answer.headers


async def test_without_cors_a_preflight_is_any_options_request(tmp_path):
    async with before(tmp_path, CORS_IS_OFF) as (proxy, _):
        answer = await proxy("OPTIONS", "/_inference/e1", headers=PREFLIGHT)
        assert (answer.status, answer.headers["Allow"]) == (200, "GET,POST,PUT,DELETE")
        assert shared(answer) == []


async def test_without_an_origin_the_upstream_is_not_asked(tmp_path):
    async with before(tmp_path, ALLOWED) as (proxy, upstream):
        answer = await proxy("GET", "/_inference")
        assert (answer.status, shared(answer)) == (200, [])
        assert "OPTIONS" not in {call.method for call in upstream.calls}
