"""The official Python client, sync and async, with the proxy between it and real parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    Elasticsearch,
    NotFoundError,
)
from elasticsearch.helpers import async_bulk, bulk

from testbed.processes import Server
from tests.integration.examples import (
    DOCUMENTS,
    EXAMPLES,
    MESSAGES,
    QUERY,
    TEXTS,
    assert_chat_stream,
    assert_completion,
    assert_completion_stream,
    assert_embeddings,
    assert_endpoint,
    assert_ranking,
    example_body,
)
from tests.support.users import USERS

INDEX = "semantic-animals"
MAPPINGS = {
    "properties": {
        "text": {"type": "text"},
        "vector": {"type": "dense_vector", "dims": 384, "similarity": "cosine", "index": True},
    }
}

PLAIN = {"Content-Type": "application/json", "Accept": "application/json"}


@pytest.fixture
def client(open_proxy: Server) -> Iterator[Elasticsearch]:
    with Elasticsearch(open_proxy.url, request_timeout=120) as client:
        yield client
        client.indices.delete(index=INDEX, ignore_unavailable=True)


@pytest.fixture
async def async_client(open_proxy: Server) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(open_proxy.url, request_timeout=120) as client:
        yield client
        await client.indices.delete(index=INDEX, ignore_unavailable=True)


def put_example(client: Elasticsearch, task_type: str, provider: Server) -> Any:
    return client.inference.put(
        task_type=task_type,
        inference_id=EXAMPLES[task_type][0],
        inference_config=example_body(task_type, provider.url),
    ).body


def stream(client: Elasticsearch, path: str, body: Any) -> str:
    """The text of a stream, by the transport: the client has no call for streams.

    It sends plain JSON headers, as Elasticsearch accepts a versioned Content-Type only with a
    versioned Accept.
    """
    return str(client.perform_request("POST", path, headers=PLAIN, body=body).body)


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_an_example_of_the_page_is_created_shown_and_deleted(client, provider, task_type):
    inference_id = EXAMPLES[task_type][0]
    assert_endpoint(put_example(client, task_type, provider), task_type, provider.url)
    (shown,) = client.inference.get(inference_id=inference_id)["endpoints"]
    assert_endpoint(shown, task_type, provider.url)
    assert client.inference.get(task_type=task_type, inference_id="_all")["endpoints"] == [shown]
    assert client.inference.get()["endpoints"] == [shown]
    assert client.inference.delete(task_type=task_type, inference_id=inference_id)["acknowledged"]
    with pytest.raises(NotFoundError, match="resource_not_found_exception"):
        client.inference.get(inference_id=inference_id)


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_put_hugging_face_is_the_same_as_put(client, provider, task_type):
    made = client.inference.put_hugging_face(
        task_type=task_type,
        huggingface_inference_id=EXAMPLES[task_type][0],
        **example_body(task_type, provider.url),
    )
    assert_endpoint(made.body, task_type, provider.url)


def test_text_embedding(client, provider):
    put_example(client, "text_embedding", provider)
    name = "hugging-face-embeddings"
    assert_embeddings(client.inference.text_embedding(inference_id=name, input=TEXTS))
    assert_embeddings(client.inference.inference(inference_id=name, input=TEXTS))
    one = client.inference.text_embedding(inference_id=name, input=TEXTS[0])
    assert len(one["text_embedding"]) == 1


def test_more_inputs_than_the_provider_takes_at_once(client, provider):
    put_example(client, "text_embedding", provider)
    inputs = [f"text number {n}" for n in range(100)]
    name = "hugging-face-embeddings"
    many = client.inference.text_embedding(inference_id=name, input=inputs)["text_embedding"]
    assert len(many) == 100
    last = client.inference.text_embedding(inference_id=name, input=inputs[-1])["text_embedding"]
    assert many[-1]["embedding"] == pytest.approx(last[0]["embedding"], abs=1e-2)


def test_rerank(client, provider):
    put_example(client, "rerank", provider)
    name = "hugging-face-rerank"
    assert_ranking(client.inference.rerank(inference_id=name, query=QUERY, input=DOCUMENTS))
    best = client.inference.inference(inference_id=name, query=QUERY, input=DOCUMENTS)
    assert_ranking(best)


def test_completion(client, provider):
    put_example(client, "completion", provider)
    name = "hugging-face-completion"
    assert_completion(client.inference.completion(inference_id=name, input="Say hello."))
    path = f"/_inference/completion/{name}/_stream"
    assert_completion_stream(stream(client, path, {"input": "Say hello."}))


def test_chat_completion(client, provider):
    put_example(client, "chat_completion", provider)
    path = "/_inference/chat_completion/hugging-face-chat-completion/_stream"
    body = {"messages": MESSAGES, "max_completion_tokens": 24}
    assert_chat_stream(stream(client, path, body))


def test_update_rotates_the_token_and_shows_none(client, provider):
    put_example(client, "rerank", provider)
    updated = client.inference.update(
        task_type="rerank",
        inference_id="hugging-face-rerank",
        inference_config={
            "service_settings": {"api_key": "another"},
            "task_settings": {"top_n": 1},
        },
    )
    assert updated["task_settings"] == {"return_documents": True, "top_n": 1}
    assert "another" not in str(updated.body)
    ranking = client.inference.rerank(
        inference_id="hugging-face-rerank", query=QUERY, input=DOCUMENTS
    )
    assert len(ranking["rerank"]) == 1


def test_mistakes_raise_the_exceptions_of_the_client(client, provider):
    with pytest.raises(NotFoundError, match="Inference endpoint not found"):
        client.inference.text_embedding(inference_id="nope", input="a")
    put_example(client, "text_embedding", provider)
    with pytest.raises(BadRequestError, match="already exists"):
        put_example(client, "text_embedding", provider)
    with pytest.raises(BadRequestError, match="Incompatible task_type"):
        client.inference.completion(inference_id="hugging-face-embeddings", input="a")


def test_bulk_and_vector_search_reach_elasticsearch_through_the_same_client(client, provider):
    put_example(client, "text_embedding", provider)
    embed = client.inference.text_embedding
    vectors = embed(inference_id="hugging-face-embeddings", input=DOCUMENTS)["text_embedding"]
    client.indices.create(index=INDEX, mappings=MAPPINGS)
    actions = [
        {"_index": INDEX, "_id": str(n), "text": text, "vector": vector["embedding"]}
        for n, (text, vector) in enumerate(zip(DOCUMENTS, vectors, strict=True))
    ]
    assert bulk(client, actions, refresh=True) == (len(DOCUMENTS), [])
    (query,) = embed(inference_id="hugging-face-embeddings", input=QUERY)["text_embedding"]
    knn = {"field": "vector", "query_vector": query["embedding"], "k": 2, "num_candidates": 10}
    hits = client.search(index=INDEX, knn=knn)["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == {"1", "3"}
    assert client.search(index=INDEX, query={"match": {"text": "paris"}})["hits"]["hits"]
    assert client.count(index=INDEX)["count"] == len(DOCUMENTS)


async def test_the_async_client_does_the_same(async_client, provider):
    client = async_client
    for task_type, (inference_id, _) in EXAMPLES.items():
        made = await client.inference.put(
            task_type=task_type,
            inference_id=inference_id,
            inference_config=example_body(task_type, provider.url),
        )
        assert_endpoint(made.body, task_type, provider.url)
    assert len((await client.inference.get())["endpoints"]) == len(EXAMPLES)
    embedded = await client.inference.text_embedding(
        inference_id="hugging-face-embeddings", input=TEXTS
    )
    assert_embeddings(embedded)
    ranked = await client.inference.rerank(
        inference_id="hugging-face-rerank", query=QUERY, input=DOCUMENTS
    )
    assert_ranking(ranked)
    completed = await client.inference.completion(
        inference_id="hugging-face-completion", input="Say hello."
    )
    assert_completion(completed)
    actions = [{"_index": INDEX, "_id": str(n), "text": t} for n, t in enumerate(DOCUMENTS)]
    assert (await async_bulk(client, actions, refresh=True))[0] == len(DOCUMENTS)
    for task_type, (inference_id, _) in EXAMPLES.items():
        await client.inference.delete(task_type=task_type, inference_id=inference_id)
        with pytest.raises(NotFoundError, match="Inference endpoint not found"):
            await client.inference.get(inference_id=inference_id)


async def test_the_async_client_streams(async_client, provider):
    streams: dict[str, tuple[Any, Callable[[str], None]]] = {
        "completion": ({"input": "Say hello."}, assert_completion_stream),
        "chat_completion": (
            {"messages": MESSAGES, "max_completion_tokens": 24},
            assert_chat_stream,
        ),
    }
    for task_type, (body, check) in streams.items():
        name = EXAMPLES[task_type][0]
        await async_client.inference.put(
            task_type=task_type,
            inference_id=name,
            inference_config=example_body(task_type, provider.url),
        )
        path = f"/_inference/{task_type}/{name}/_stream"
        answer = await async_client.perform_request("POST", path, headers=PLAIN, body=body)
        check(str(answer.body))


async def test_the_async_client_updates_and_raises(async_client, provider):
    inference = async_client.inference
    name = "hugging-face-rerank"
    body = example_body("rerank", provider.url)
    made = await inference.put_hugging_face(
        task_type="rerank", huggingface_inference_id=name, **body
    )
    assert_endpoint(made.body, "rerank", provider.url)
    with pytest.raises(BadRequestError, match="already exists"):
        await inference.put(task_type="rerank", inference_id=name, inference_config=body)
    updated = await inference.update(
        task_type="rerank", inference_id=name, inference_config={"task_settings": {"top_n": 1}}
    )
    assert updated["task_settings"] == {"return_documents": True, "top_n": 1}
    ranking = await inference.rerank(inference_id=name, query=QUERY, input=DOCUMENTS)
    assert len(ranking["rerank"]) == 1
    with pytest.raises(BadRequestError, match="Incompatible task_type"):
        await inference.completion(inference_id=name, input="a")


async def test_many_async_calls_at_once(async_client, provider):
    await async_client.inference.put(
        task_type="text_embedding",
        inference_id="hugging-face-embeddings",
        inference_config=example_body("text_embedding", provider.url),
    )
    async with asyncio.TaskGroup() as group:
        embed = async_client.inference.text_embedding
        name = "hugging-face-embeddings"
        tasks = [group.create_task(embed(inference_id=name, input=TEXTS)) for _ in range(20)]
    for task in tasks:
        assert_embeddings(task.result())


@pytest.fixture
def api_keys(secured_proxy: Server) -> Iterator[dict[str, str]]:
    """API keys made through the proxy: by cluster privilege, encoded."""
    with Elasticsearch(secured_proxy.url, basic_auth=("admin", USERS["admin"][0])) as admin:
        keys = {
            privilege: admin.security.create_api_key(
                name=privilege, role_descriptors={"only": {"cluster": [privilege]}}
            )
            for privilege in ("manage_inference", "monitor_inference", "manage_pipeline")
        }
        yield {privilege: key["encoded"] for privilege, key in keys.items()}
        admin.security.invalidate_api_key(ids=[key["id"] for key in keys.values()])


def test_what_a_key_may_do_is_what_elasticsearch_lets_it_do(secured_proxy, provider, api_keys):
    name = "hugging-face-embeddings"
    clients = {p: Elasticsearch(secured_proxy.url, api_key=key) for p, key in api_keys.items()}
    manager, monitor, other = clients.values()
    try:
        with pytest.raises(AuthorizationException, match="cluster:admin/xpack/inference/put"):
            put_example(monitor, "text_embedding", provider)
        put_example(manager, "text_embedding", provider)
        assert_embeddings(monitor.inference.text_embedding(inference_id=name, input=TEXTS))
        with pytest.raises(AuthorizationException, match="cluster:monitor/xpack/inference/post"):
            other.inference.text_embedding(inference_id=name, input=TEXTS)
        with pytest.raises(AuthorizationException, match="cluster:admin/xpack/inference/delete"):
            monitor.inference.delete(inference_id=name)
        manager.inference.delete(inference_id=name)
    finally:
        for client in clients.values():
            client.close()


def test_nobody_gets_in_without_credentials(secured_proxy):
    with (
        Elasticsearch(secured_proxy.url) as anonymous,
        pytest.raises(AuthenticationException, match="missing authentication credentials"),
    ):
        anonymous.inference.get()
    with (
        Elasticsearch(secured_proxy.url, basic_auth=("admin", "wrong")) as liar,
        pytest.raises(AuthenticationException, match="unable to authenticate user"),
    ):
        liar.inference.get()


def test_errors_of_elasticsearch_itself_come_through(client):
    with pytest.raises(ApiError, match="index_not_found_exception") as caught:
        client.search(index="there-is-no-such-index")
    assert caught.value.status_code == 404
