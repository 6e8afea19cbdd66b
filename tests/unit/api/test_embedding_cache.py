"""The embedding cache through the API: endpoints that change, and a header that asks past it."""

from __future__ import annotations

import pytest

from tests.support.application import proxy_with
from tests.support.stubs import Call, Reply, json_reply

NO_CACHE = {"X-Embedding-Cache": "no-cache"}


@pytest.fixture
async def proxy(tmp_path):
    async with proxy_with(tmp_path, cache=1024 * 1024) as proxy:
        proxy.provide(lengths)
        await proxy.put("text_embedding")
        yield proxy


def lengths(call: Call) -> Reply:
    return json_reply([[float(len(text))] for text in call.json["inputs"]])


async def embed(proxy, text="abc", headers=None):
    answer = await proxy("POST", "/_inference/e1", {"input": text}, headers)
    assert answer.status == 200
    return answer.json["text_embedding"][0]["embedding"]


async def test_equal_texts_are_sent_once(proxy):
    assert [await embed(proxy) for _ in range(3)] == [[3.0]] * 3
    assert len(proxy.provider.calls) == 1


async def test_an_endpoint_that_is_made_anew_knows_nothing_of_the_old_one(proxy):
    await embed(proxy)
    assert (await proxy("DELETE", "/_inference/e1")).status == 200
    proxy.provide(json_reply([[9.0]]))
    await proxy.put("text_embedding")
    assert await embed(proxy) == [9.0]


async def test_nor_does_one_that_is_changed(proxy):
    await embed(proxy)
    proxy.provide(json_reply([[9.0]]))
    change = {"service_settings": {"api_key": "other"}}
    answer = await proxy("PUT", "/_inference/text_embedding/e1/_update", change)
    assert answer.status == 200
    assert await embed(proxy) == [9.0]


async def test_a_header_asks_past_the_cache_and_is_not_passed_on(proxy):
    await embed(proxy)
    proxy.provide(json_reply([[9.0]]))
    assert await embed(proxy, headers=NO_CACHE) == [9.0]
    assert await embed(proxy) == [9.0]
    assert len(proxy.provider.calls) == 2
    assert not any("Embedding-Cache" in name for name in proxy.provider.calls[1].headers)


async def test_the_header_has_one_value(proxy):
    headers = {"X-Embedding-Cache": "none"}
    answer = await proxy("POST", "/_inference/e1", {"input": "abc"}, headers)
    assert (answer.status, answer.reason) == (
        400,
        "the header [X-Embedding-Cache] must be [no-cache]",
    )


async def test_an_endpoint_is_shown_and_stored_without_its_revision(proxy):
    answer = await proxy("GET", "/_inference/e1")
    assert b"revision" not in answer.body
