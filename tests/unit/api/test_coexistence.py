"""An upstream that has an inference plugin keeps its endpoints, and ours stand beside them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.app import make_application
from proxy.config import Config, SemanticConfig, StoreConfig, UpstreamConfig
from tests.support.plugin import SERVICE, PluginUpstream
from tests.support.stubs import FaultyServer, contract_reply

KEY: Final = "6b" * 32


@pytest.fixture
def plugin() -> PluginUpstream:
    return PluginUpstream()


@pytest.fixture
async def client(plugin: PluginUpstream, aiohttp_server: Any, aiohttp_client: Any, tmp_path: Any):
    upstream = await aiohttp_server(plugin.application())
    config = Config(
        upstream=UpstreamConfig(url=str(upstream.make_url("/")).rstrip("/")),
        semantic=SemanticConfig(enabled=False),
        store=StoreConfig(kind=f"sqlite:{tmp_path}/endpoints.db", encryption_key=KEY),
    )
    return await aiohttp_client(make_application(config))


@pytest.fixture
async def provider():
    async with FaultyServer(contract_reply) as server:
        yield server


async def put_ours(client: Any, provider: FaultyServer, inference_id: str) -> Any:
    settings = {"api_key": "secret", "url": f"{provider.url}/v1/chat/completions"}
    body = {"service": "hugging_face", "service_settings": settings}
    return await client.put(f"/_inference/completion/{inference_id}", json=body)


async def put_theirs(client: Any, inference_id: str) -> Any:
    body = {"service": SERVICE, "service_settings": {}}
    return await client.put(f"/_inference/completion/{inference_id}", json=body)


async def test_another_service_is_created_upstream(client, plugin) -> None:
    answer = await put_theirs(client, "theirs")
    assert answer.status == 200
    assert (await answer.json())["service"] == SERVICE
    assert "theirs" in plugin.endpoints


async def test_a_service_that_nobody_knows_is_the_upstreams_error(client) -> None:
    answer = await client.put("/_inference/completion/x", json={"service": "nope"})
    assert answer.status == 400
    assert (await answer.json())["error"]["reason"] == "Unknown service [nope]"


async def test_ids_that_are_not_ours_are_used_upstream(client, provider) -> None:
    await put_ours(client, provider, "ours")
    await put_theirs(client, "theirs")
    for inference_id, result in (("ours", "hello world"), ("theirs", "from the upstream")):
        answer = await client.post(f"/_inference/{inference_id}", json={"input": "a"})
        assert await answer.json() == {"completion": [{"result": result}]}


@pytest.mark.parametrize(
    "target", ["/_inference/chat_completion/theirs/_stream", "/_inference/theirs/_stream"]
)
async def test_a_chat_with_an_id_that_is_not_ours_is_the_upstreams(client, plugin, target) -> None:
    body = {"messages": [{"role": "user", "content": "a"}]}
    answer = await client.post(target, json=body)
    assert plugin.requests[-1] == ("POST", target)
    assert answer.headers["content-type"].startswith("application/json")  # the upstream's own


async def test_lists_show_both_sides_sorted(client, provider) -> None:
    await put_theirs(client, "b")
    await put_ours(client, provider, "a")
    await put_ours(client, provider, "c")
    for path in ("/_inference", "/_inference/_all", "/_inference/completion/_all"):
        endpoints = (await (await client.get(path)).json())["endpoints"]
        assert [one["inference_id"] for one in endpoints] == ["a", "b", "c"]
    services = await (await client.get("/_inference/_services")).json()
    assert [one["service"] for one in services] == [SERVICE, "hugging_face"]


async def test_an_id_is_refused_on_whichever_side_it_exists(client, provider, plugin) -> None:
    await put_theirs(client, "theirs")
    await put_ours(client, provider, "ours")
    for answer, inference_id in (
        (await put_ours(client, provider, "theirs"), "theirs"),
        (await put_theirs(client, "ours"), "ours"),
        (await put_ours(client, provider, "ours"), "ours"),
        (await put_theirs(client, "theirs"), "theirs"),
    ):
        error = (await answer.json())["error"]
        assert answer.status == 400
        assert error["type"] == "resource_already_exists_exception"
        assert error["reason"] == f"Inference endpoint [{inference_id}] already exists"
    assert set(plugin.endpoints) == {"theirs"}


async def test_each_side_deletes_its_own(client, provider, plugin) -> None:
    await put_theirs(client, "theirs")
    await put_ours(client, provider, "ours")
    for inference_id in ("theirs", "ours"):
        answer = await client.delete(f"/_inference/{inference_id}")
        assert (await answer.json())["acknowledged"] is True
    assert not plugin.endpoints
    endpoints = (await (await client.get("/_inference/_all")).json())["endpoints"]
    assert endpoints == []


async def test_an_id_that_nobody_knows_is_the_upstreams_404(client) -> None:
    answer = await client.get("/_inference/nope")
    assert answer.status == 404
    assert (await answer.json())["error"]["reason"] == "Inference endpoint not found [nope]"


async def test_the_provider_never_sees_the_callers_credentials(client, provider, plugin) -> None:
    headers = {"Authorization": "Basic dXNlcjpwYXNz", "Cookie": "sid=1"}
    settings = {"api_key": "secret", "url": f"{provider.url}/embed"}
    body = {"service": "hugging_face", "service_settings": settings}
    answer = await client.put("/_inference/text_embedding/x", json=body, headers=headers)
    assert answer.status == 200
    (call,) = provider.calls
    assert call.headers["Authorization"] == "Bearer secret"
    assert "Cookie" not in call.headers
