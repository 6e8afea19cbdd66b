"""Nodes of an upstream, as `check` sees them: stubs for what no test cluster does."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from proxy.commands.checks import nodes
from proxy.commands.checks.nodes import check_nodes
from proxy.config import Config, UpstreamConfig
from tests.support.stubs import Call, FaultyServer, Reply, json_reply

PRODUCT = {"Content-Type": "application/json", "X-Elastic-Product": "Elasticsearch"}
NO_HANDLER = "no handler found for uri [/_inference/_all] and method [GET]"


def elasticsearch(call: Call, **changed: Reply) -> Reply:
    """One with a licence and the plugin, that knows the proxy."""
    path = call.path.strip("/").replace("/", "_")
    if path in changed:
        return changed[path]
    bodies: dict[str, Any] = {
        "_security__authenticate": {
            "username": "me",
            "authentication_type": "api_key",
            "api_key": {"name": "proxy"},
        },
        "": {"version": {"number": "9.2.4"}},
        "_license": {"license": {"type": "platinum", "status": "active"}},
        "_inference__all": {"endpoints": []},
    }
    return json_reply(bodies[path], headers=PRODUCT)


async def found(*urls: str, **upstream: Any) -> list[str]:
    given: dict[str, Any] = {"api_key": "s3cret"} | upstream
    config = Config(upstream=UpstreamConfig(url=",".join(urls), **given))
    lines = [str(one) for one in await check_nodes(config)]
    assert "s3cret" not in str(lines)
    return lines


async def about(**changed: Reply) -> list[str]:
    async with FaultyServer(lambda call: elasticsearch(call, **changed)) as node:
        lines = await found(node.url)
        assert {call.headers["Authorization"] for call in node.calls} == {"ApiKey s3cret"}
        return [line.replace(node.url, "es") for line in lines]


async def test_one_that_works_tells_about_itself() -> None:
    assert await about() == [
        "ok      upstream [es] answers",
        "ok      upstream [es]: security is on, and the proxy is the API key [proxy] of [me]",
        "ok      upstream [es]: Elasticsearch 9.2.4",
        "ok      upstream [es]: the licence is [platinum]",
        "ok      upstream [es] has an inference plugin: endpoints of other services stay its own",
    ]


async def test_one_that_tells_little_is_no_worse() -> None:
    refused = json_reply({"error": {"type": "security_exception"}}, 403, headers=PRODUCT)
    no_plugin = json_reply({"error": NO_HANDLER}, 400, headers=PRODUCT)
    lines = await about(
        _nodes__local=refused, _license=refused, _inference__all=no_plugin, **{"": refused}
    )
    assert lines[2:] == [
        "ok      upstream [es]: its version is unknown, as the proxy may not ask ([monitor])",
        "ok      upstream [es]: its licence is unknown, as the proxy may not ask ([monitor])",
        "ok      upstream [es] has no inference plugin: the proxy answers all of _inference",
    ]


async def test_what_is_old_or_has_expired_is_a_warning() -> None:
    lines = await about(
        **{"": json_reply({"version": {"number": "7.14.2"}}, headers=PRODUCT)},
        _license=json_reply({"license": {"type": "trial", "status": "expired"}}, headers=PRODUCT),
    )
    assert lines[2:4] == [
        "warning upstream [es]: Elasticsearch 7.14.2 is older than 7.17, the oldest tried",
        "warning upstream [es]: the licence [trial] is [expired]",
    ]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (json_reply({}), "is no Elasticsearch, or older than 7.14: check the address"),
        (Reply(status=503), "answers with [503]: check its log and its cluster"),
        (
            Reply(status=301, headers={"Location": "http://other"}),
            "redirects to another address: set that one",
        ),
    ],
)
async def test_what_is_no_elasticsearch_is_an_error(reply: Reply, told: str) -> None:
    assert await about(_security__authenticate=reply) == [f"error   upstream [es] {told}"]


async def test_one_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.commands.checks.questions.PATIENCE", 0.2)
    assert await about(_security__authenticate=Reply(fault="hang")) == [
        "error   upstream [es]: it did not answer in time: check its log"
    ]


async def test_one_that_breaks_off_is_an_error() -> None:
    assert await about(_security__authenticate=Reply(fault="reset")) == [
        "error   upstream [es]: it did not answer in HTTP: check that Elasticsearch listens there"
    ]


async def test_a_key_that_is_not_encoded_is_told() -> None:
    refused = json_reply({"error": {"type": "security_exception"}}, 401)
    async with FaultyServer([refused]) as node:
        lines = await found(node.url, api_key="s3cret:s3cret")
    assert lines[1].startswith("error ")
    assert lines[1].endswith("must be valid, in its encoded form (base64 of ID:KEY)")


async def test_one_of_two_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        dead = f"http://127.0.0.1:{other.getsockname()[1]}"
    async with FaultyServer(elasticsearch) as node:
        lines = await found(dead, node.url)
        assert lines[0] == f"warning upstream [{dead}]: it cannot be reached: Connection refused"
        assert lines[1] == f"ok      upstream [{node.url}] answers"
    assert await found(dead) == [
        f"error   upstream [{dead}]: it cannot be reached: Connection refused"
    ]


async def test_without_an_upstream_only_inference_is_served() -> None:
    assert [str(one) for one in await check_nodes(Config())] == [
        "warning [upstream.url] is not set: only _inference is served"
    ]


async def test_a_name_that_leads_back_to_the_proxy_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes, "_is_here", lambda address: True)
    config = Config(
        listen="0.0.0.0:9200", upstream=UpstreamConfig(url=f"http://{socket.gethostname()}:9200")
    )
    (line,) = map(str, await check_nodes(config))
    assert line.startswith("error ")
    assert line.endswith("is the proxy's own address: set [upstream.url] or [listen]")
