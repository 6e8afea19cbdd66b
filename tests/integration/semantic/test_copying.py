"""`_reindex` and `_update_by_query` into semantic fields, on a real Elasticsearch.

That one has no `_reindex` of its own: whatever is copied here, the proxy has copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import ClientSession

from tests.support.processes import Serve
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply

SEMANTIC = {"type": "semantic_text", "inference_id": "embed"}


def embedding(call: Call) -> Reply:
    """Three dimensions, by the length of a text; BOOM is refused."""
    texts = orjson.loads(call.body)["inputs"]
    if any("BOOM" in text for text in texts):
        return json_reply({"error": "boom"}, 400)
    return json_reply([[len(text), 1.0, 0.5] for text in texts])


class Caller:
    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, self._url + target, json=body) as answer:
            return answer.status, await answer.json()

    async def fill(self, index: str, *texts: str) -> None:
        for number, text in enumerate(texts):
            await self("PUT", f"/{index}/_doc/{number}?refresh=true", {"body": text})

    async def found(self, index: str) -> int:
        """How many documents have vectors."""
        query = {"query": {"exists": {"field": "body"}}}
        _, answer = await self("POST", f"/{index}/_search", query)
        return int(answer["hits"]["total"]["value"])


@pytest.fixture(scope="module")
def proxy(serve_for_session: Serve, elasticsearch) -> Iterator[tuple[str, str]]:
    """The URLs of a proxy and of its provider."""
    with in_thread(FaultyServer(embedding)) as provider:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
        }
        yield serve_for_session(upstream=elasticsearch.url, env=env).url, provider.url


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Caller]:
    async with ClientSession() as session:
        yield Caller(session, url)


@pytest.fixture
async def caller(proxy) -> AsyncIterator[Caller]:
    url, provider = proxy
    async with calling(url) as caller:
        settings = {"url": f"{provider}/embed", "api_key": "x"}
        endpoint = {"service": "hugging_face", "service_settings": settings}
        await caller("PUT", "/_inference/text_embedding/embed", endpoint)
        yield caller


@pytest.fixture
async def indices(caller) -> AsyncIterator[tuple[str, str]]:
    """A plain index and one with a semantic field."""
    plain, semantic = (f"copy-{name}-{uuid4().hex[:8]}" for name in ("plain", "semantic"))
    fields = {"mappings": {"properties": {"body": SEMANTIC}}}
    assert (await caller("PUT", f"/{semantic}", fields))[0] == 200
    yield plain, semantic
    for index in (plain, semantic):
        await caller("DELETE", f"/{index}")


def copy(source: str, dest: str, **more: Any) -> dict[str, Any]:
    return {"source": {"index": source, **more}, "dest": {"index": dest}}


async def test_lexical_documents_become_searchable_by_meaning(caller, indices):
    plain, semantic = indices
    await caller.fill(plain, "one", "two", "three")
    status, answer = await caller("POST", "/_reindex?refresh=true", copy(plain, semantic, size=2))
    assert status == 200
    assert (answer["total"], answer["created"], answer["batches"]) == (3, 3, 2)
    assert answer["failures"] == []
    assert await caller.found(semantic) == 3


QUERIES = [
    {"semantic": {"field": "body", "query": "one"}},
    {"match": {"body": "one"}},
    {"exists": {"field": "body"}},
]


@pytest.mark.parametrize("query", QUERIES)
async def test_what_is_copied_is_found_by_meaning(caller, indices, query):
    plain, semantic = indices
    await caller.fill(semantic, "one", "two")
    await caller("PUT", f"/{semantic}/_doc/bare?refresh=true", {"n": 1})
    request = copy(semantic, plain, query=query, _source=["body"])
    status, answer = await caller("POST", "/_reindex", request)
    assert (status, answer.get("total")) == (200, 2), answer
    status, answer = await caller("POST", f"/{semantic}/_update_by_query", {"query": query})
    assert (status, answer.get("updated")) == (200, 2), answer


HUGE = "123456789012345678901234567890"


async def test_numbers_beyond_a_double_arrive_as_elasticsearch_has_them(
    caller, indices, elasticsearch
):
    plain, semantic = indices
    fields = {"properties": {"odd": {"type": "object", "enabled": False}}}
    await caller("PUT", f"/{plain}", {"mappings": fields})
    await caller("PUT", f"/{semantic}/_mapping", fields)
    async with ClientSession(headers={"Content-Type": "application/json"}) as session:
        document = f'{{"body": "a text", "odd": {{"huge": {HUGE}, "infinite": 1e400}}}}'.encode()
        target = f"{elasticsearch.url}/{plain}/_doc/1?refresh=true"
        async with session.put(target, data=document) as answer:
            assert answer.status == 201, await answer.text()
        status, copied = await caller("POST", "/_reindex?refresh=true", copy(plain, semantic))
        assert (status, copied["created"]) == (200, 1), copied
        async with session.get(f"{elasticsearch.url}/{semantic}/_source/1") as answer:
            assert f'"huge":{HUGE},"infinite":"Infinity"' in (await answer.text())
    assert await caller.found(semantic) == 1


async def test_vectors_of_the_users_own_are_kept(caller, indices):
    plain, semantic = indices
    fields = {"properties": {"own": {"type": "dense_vector", "dims": 2}}}
    await caller("PUT", f"/{plain}", {"mappings": fields})
    await caller("PUT", f"/{semantic}/_mapping", fields)
    await caller("PUT", f"/{plain}/_doc/1?refresh=true", {"body": "a text", "own": [1, 2]})
    nearest = {"knn": {"field": "own", "query_vector": [1, 2], "k": 1}}
    _, copied = await caller("POST", "/_reindex?refresh=true", copy(plain, semantic))
    assert copied["created"] == 1
    assert (await caller("POST", f"/{semantic}/_search", nearest))[1]["hits"]["hits"]
    _, updated = await caller("POST", f"/{semantic}/_update_by_query?refresh=true")
    assert updated["updated"] == 1
    assert (await caller("POST", f"/{semantic}/_search", nearest))[1]["hits"]["hits"]
    assert await caller.found(semantic) == 1


@pytest.mark.parametrize("query", ["q=body:text", "q=_id:1"])
async def test_an_update_is_of_the_documents_that_the_url_means(caller, indices, query):
    _, semantic = indices
    await caller.fill(semantic, "a text", "another text")
    _, found = await caller("GET", f"/{semantic}/_search?{query}")
    _, updated = await caller("POST", f"/{semantic}/_update_by_query?{query}")
    assert updated["updated"] == updated["total"] == found["hits"]["total"]["value"] < 2


def given(endpoint: str) -> dict[str, Any]:
    """A document whose text nobody could embed, and its vectors."""
    model = {"task_type": "text_embedding", "dimensions": 3, "similarity": "cosine"}
    chunk = {"start_offset": 0, "end_offset": 4, "embeddings": [1, 2, 3]}
    inference = {
        "inference_id": endpoint,
        "model_settings": {**model, "element_type": "float"},
        "chunks": {"body": [chunk]},
    }
    return {"body": "BOOM", "_inference_fields": {"body": {"inference": inference}}}


async def test_vectors_are_copied_where_they_are_asked_for(caller, indices):
    source, dest = indices
    fields = {"properties": {"body": SEMANTIC, "more": SEMANTIC}}
    await caller("PUT", f"/{source}", {"mappings": fields})
    status, answer = await caller("PUT", f"/{source}/_doc/1?refresh=true", given("embed"))
    assert status == 201, answer
    await caller("PUT", f"/{source}/_doc/2?refresh=true", {"more": "not a field there"})
    asking = copy(source, dest, _source={"exclude_vectors": False})
    status, answer = await caller("POST", "/_reindex?refresh=true", asking)
    assert (status, answer["created"], answer["failures"]) == (200, 2, [])
    assert await caller.found(dest) == 1
    assert (await caller("GET", f"/{dest}/_doc/1"))[1]["_source"] == {"body": "BOOM"}
    status, answer = await caller("POST", "/_reindex?refresh=true", copy(source, dest))
    assert (status, len(answer["failures"])) == (400, 1)  # it is embedded anew


async def test_vectors_of_another_endpoint_are_not_copied(caller, indices):
    source, dest = indices
    other = {"body": {**SEMANTIC, "inference_id": "nobody"}}
    await caller("PUT", f"/{source}", {"mappings": {"properties": other}})
    status, answer = await caller("PUT", f"/{source}/_doc/1?refresh=true", given("nobody"))
    assert status == 201, answer
    asking = copy(source, dest, _source={"exclude_vectors": False})
    status, answer = await caller("POST", "/_reindex", asking)
    assert (status, len(answer["failures"])) == (400, 1)
    reason = answer["failures"][0]["cause"]["reason"]
    assert "The configured inference_id [nobody] for field [body]" in reason


async def test_only_what_the_query_finds_is_copied(caller, indices):
    plain, semantic = indices
    await caller.fill(plain, "one", "two")
    body = copy(plain, semantic, query={"match": {"body": "two"}})
    _, answer = await caller("POST", "/_reindex?refresh=true", body)
    assert (answer["total"], answer["created"]) == (1, 1)


async def test_what_fails_is_told_and_ends_it(caller, indices):
    plain, semantic = indices
    await caller.fill(plain, "one", "BOOM", "three")
    status, answer = await caller("POST", "/_reindex?refresh=true", copy(plain, semantic, size=1))
    assert status == 400
    assert (answer["created"], len(answer["failures"])) == (1, 1)
    (failure,) = answer["failures"]
    assert (failure["index"], failure["id"]) == (semantic, "1")
    assert failure["cause"]["type"] == "inference_exception"


async def test_a_field_that_was_mapped_later_is_filled_by_an_update(caller, indices):
    plain, _ = indices
    await caller("PUT", f"/{plain}", {"mappings": {"properties": {"body": {"type": "text"}}}})
    await caller.fill(plain, "one", "two")
    later = {"properties": {"body": {"type": "text", "fields": {"meaning": SEMANTIC}}}}
    assert (await caller("PUT", f"/{plain}/_mapping", later))[0] == 200
    status, answer = await caller("POST", f"/{plain}/_update_by_query?refresh=true")
    assert (status, answer["updated"], answer["failures"]) == (200, 2, [])
    assert "created" not in answer
    query = {"query": {"semantic": {"field": "body.meaning", "query": "one"}}}
    _, found = await caller("POST", f"/{plain}/_search", query)
    assert found["hits"]["total"]["value"] == 2


async def test_a_task_is_shown_waited_for_and_cancelled(caller, indices):
    plain, semantic = indices
    await caller.fill(plain, "one", "two", "three")
    body = copy(plain, semantic, size=1)
    behind = "/_reindex?wait_for_completion=false"
    _, begun = await caller("POST", behind, body)
    status, ended = await caller("GET", f"/_tasks/{begun['task']}?wait_for_completion=true")
    assert (status, ended["completed"], ended["response"]["created"]) == (200, True, 3)
    _, slow = await caller("POST", f"{behind}&requests_per_second=2", body)
    status, _ = await caller("POST", f"/_tasks/{slow['task']}/_cancel")
    assert status == 200
    async with asyncio.timeout(20):
        _, ended = await caller("GET", f"/_tasks/{slow['task']}?wait_for_completion=true")
    assert ended["response"]["canceled"] == "by user request"
    assert ended["response"]["updated"] < 3


async def test_tasks_are_listed_beside_those_of_the_cluster(caller, indices):
    plain, semantic = indices
    await caller.fill(plain, "one", "two", "three")
    body = copy(plain, semantic, size=1)
    slow = "/_reindex?wait_for_completion=false&requests_per_second=0.1"
    _, begun = await caller("POST", slow, body)
    task = begun["task"]
    node, _, number = task.rpartition(":")
    _, listed = await caller("GET", "/_tasks?actions=*reindex&detailed")
    info = listed["nodes"][node]["tasks"][task]
    assert (info["id"], info["action"]) == (int(number), "indices:data/write/reindex")
    assert info["description"] == f"reindex from [{plain}] to [{semantic}]"
    _, brief = await caller("GET", "/_tasks?group_by=none")
    (found,) = [one for one in brief["tasks"] if one["node"] == node]
    assert "description" not in found
    assert len(brief["tasks"]) > 1  # those of the cluster
    _, others = await caller("GET", "/_tasks?actions=*search*")
    assert node not in others["nodes"]
    assert (await caller("POST", f"/_tasks/{task}/_cancel"))[0] == 200


async def test_tasks_of_the_cluster_are_the_clusters(caller, indices):
    plain, _ = indices
    await caller.fill(plain, "one")
    status, begun = await caller("POST", f"/{plain}/_forcemerge?wait_for_completion=false")
    assert status == 200, begun
    status, shown = await caller("GET", f"/_tasks/{begun['task']}?wait_for_completion=true")
    assert (status, shown["task"]["action"]) == (200, "indices:admin/forcemerge")
    status, answer = await caller("POST", f"/_tasks/{begun['task']}/_cancel")
    assert "hugging-face-proxy" not in str(answer)
    assert status in (200, 400, 404)  # it has ended


async def test_a_task_that_is_unknown_is_not_found(caller, proxy):
    status, answer = await caller("GET", "/_tasks/hugging-face-proxy-00000000:1")
    assert (status, answer["error"]["type"]) == (404, "resource_not_found_exception")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"script": {"source": "x"}}, "[script] cannot run"),
        ({"conflicts": "ignore"}, 'conflicts may only be "proceed" or "abort" but was [ignore]'),
    ],
)
async def test_what_is_not_possible_is_told(caller, indices, change, reason):
    plain, semantic = indices
    status, answer = await caller("POST", "/_reindex", {**copy(plain, semantic), **change})
    assert status == 400
    assert reason in answer["error"]["reason"]
