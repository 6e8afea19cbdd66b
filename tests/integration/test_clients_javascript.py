"""The official JavaScript client through the proxy: real Elasticsearch, real models."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from testbed.processes import Server
from tests.integration.examples import (
    DOCUMENTS,
    EXAMPLES,
    MESSAGES,
    MOST_TOKENS,
    PROMPT,
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
from tests.support.npm import installed
from tests.support.runtimes import tool
from tests.support.users import USERS

pytestmark = pytest.mark.clients

FOLDER: Final = Path(__file__).parent / "javascript"
INDEX: Final = "javascript-animals"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder that holds the packages of package-lock.json."""
    return installed(FOLDER)


class CallFailed(Exception):
    """The client raised; `status` and `body` are the answer's."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.name, self.status, self.body = error["name"], error.get("status"), error.get("body")


class JavaScriptClient:
    """The client in a Node process; `call` runs one of its methods."""

    def __init__(self, packages: Path, options: dict[str, Any]) -> None:
        self._child = subprocess.Popen(
            [tool("node"), str(FOLDER / "client.mjs"), json.dumps(options)],
            cwd=packages,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> JavaScriptClient:
        return self

    def __exit__(self, *_: object) -> None:
        with self._child:  # closes its input, which ends it
            pass
        assert self._child.returncode == 0

    def call(self, method: str, params: Any = None, **options: Any) -> Any:
        """The result of a method by its dotted name. Raises: CallFailed."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        request = {"method": method, "params": params or {}, "options": options}
        self._child.stdin.write(json.dumps(request) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer.get("result")


@pytest.fixture
def client(open_proxy: Server, packages: Path) -> Iterator[JavaScriptClient]:
    options = {"node": open_proxy.url, "requestTimeout": 120_000}
    with JavaScriptClient(packages, options) as client:
        yield client
        client.call("indices.delete", {"index": INDEX, "ignore_unavailable": True})


def put_example(client: JavaScriptClient, task_type: str, provider: Server) -> Any:
    params = {
        "task_type": task_type,
        "inference_id": EXAMPLES[task_type][0],
        "inference_config": example_body(task_type, provider.url),
    }
    return client.call("inference.put", params)


def test_the_lock_file_names_no_registry():
    lock = (FOLDER / "package-lock.json").read_text()
    assert "://" not in lock
    assert "integrity" in lock


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_an_example_of_the_page_is_created_shown_and_deleted(client, provider, task_type):
    inference_id = EXAMPLES[task_type][0]
    assert_endpoint(put_example(client, task_type, provider), task_type, provider.url)
    (shown,) = client.call("inference.get", {"inference_id": inference_id})["endpoints"]
    assert_endpoint(shown, task_type, provider.url)
    params = {"task_type": task_type, "inference_id": inference_id}
    assert client.call("inference.delete", params)["acknowledged"]
    with pytest.raises(CallFailed, match="resource_not_found_exception") as caught:
        client.call("inference.get", {"inference_id": inference_id})
    assert caught.value.status == 404


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_put_hugging_face_is_the_same_as_put(client, provider, task_type):
    params = example_body(task_type, provider.url) | {
        "task_type": task_type,
        "huggingface_inference_id": EXAMPLES[task_type][0],
    }
    assert_endpoint(client.call("inference.putHuggingFace", params), task_type, provider.url)


def test_text_embedding(client, provider):
    put_example(client, "text_embedding", provider)
    params = {"inference_id": "hugging-face-embeddings", "input": TEXTS}
    assert_embeddings(client.call("inference.textEmbedding", params))
    assert_embeddings(client.call("inference.inference", params))


def test_rerank(client, provider):
    put_example(client, "rerank", provider)
    params = {"inference_id": "hugging-face-rerank", "query": QUERY, "input": DOCUMENTS}
    assert_ranking(client.call("inference.rerank", params))


def test_completion(client, provider):
    put_example(client, "completion", provider)
    params = {"inference_id": "hugging-face-completion", "input": PROMPT}
    assert_completion(client.call("inference.completion", params))
    chunks = client.call("inference.streamCompletion", params, asStream=True)
    assert len(chunks) > 1, "the stream must arrive in pieces"
    assert_completion_stream("".join(chunks))


def test_chat_completion(client, provider):
    put_example(client, "chat_completion", provider)
    params = {
        "inference_id": "hugging-face-chat-completion",
        "chat_completion_request": {"messages": MESSAGES, "max_completion_tokens": MOST_TOKENS},
    }
    chunks = client.call("inference.chatCompletionUnified", params, asStream=True)
    assert len(chunks) > 1, "the stream must arrive in pieces"
    assert_chat_stream("".join(chunks))


def test_update_rotates_the_token_and_shows_none(client, provider):
    put_example(client, "rerank", provider)
    params = {
        "task_type": "rerank",
        "inference_id": "hugging-face-rerank",
        "inference_config": {
            "service_settings": {"api_key": "another-token"},
            "task_settings": {"top_n": 1},
        },
    }
    updated = client.call("inference.update", params)
    assert updated["task_settings"] == {"return_documents": True, "top_n": 1}
    assert "another-token" not in str(updated)
    asked = {"inference_id": "hugging-face-rerank", "query": QUERY, "input": DOCUMENTS}
    assert len(client.call("inference.rerank", asked)["rerank"]) == 1


def test_bulk_and_search_reach_elasticsearch_through_the_same_client(client):
    operations = [
        line for text in DOCUMENTS for line in ({"index": {"_index": INDEX}}, {"text": text})
    ]
    done = client.call("bulk", {"operations": operations, "refresh": True})
    assert done["errors"] is False
    found = client.call("search", {"index": INDEX, "query": {"match": {"text": "paris"}}})
    assert [hit["_source"]["text"] for hit in found["hits"]["hits"]] == [DOCUMENTS[2]]


def test_mistakes_are_response_errors_of_the_client(client, provider):
    with pytest.raises(CallFailed, match="Inference endpoint not found") as caught:
        client.call("inference.textEmbedding", {"inference_id": "nope", "input": "a"})
    assert (caught.value.name, caught.value.status) == ("ResponseError", 404)
    put_example(client, "text_embedding", provider)
    with pytest.raises(CallFailed, match="already exists") as caught:
        put_example(client, "text_embedding", provider)
    assert (caught.value.name, caught.value.status) == ("ResponseError", 400)


def test_credentials_are_those_of_elasticsearch(secured_proxy, provider, packages):
    auth = {"username": "monitor", "password": USERS["monitor"][0]}
    options = {"node": secured_proxy.url, "auth": auth, "maxRetries": 0}
    with JavaScriptClient(packages, options) as client:
        assert client.call("inference.get") == {"endpoints": []}
        with pytest.raises(CallFailed, match="is unauthorized for user") as caught:
            put_example(client, "text_embedding", provider)
        assert caught.value.status == 403


def test_its_bulk_helper_fills_a_semantic_field(semantic_proxy, packages):
    index = "javascript-semantic"
    field = {"type": "semantic_text", "inference_id": "clients-embeddings"}
    options = {"node": semantic_proxy.url, "requestTimeout": 120_000}
    with JavaScriptClient(packages, options) as client:
        mappings = {"properties": {"text": field}}
        client.call("indices.create", {"index": index, "mappings": mappings})
        documents = [{"text": text} for text in DOCUMENTS * 20]
        done = client.call("helpers.bulk", {"index": index, "documents": documents})
        assert (done["successful"], done["failed"]) == (len(documents), 0)
        query = {"semantic": {"field": "text", "query": QUERY}}
        rrf = {"retrievers": [{"standard": {"query": query}}], "rank_window_size": 10}
        for search in ({"query": query}, {"retriever": {"rrf": rrf}}):
            found = client.call("search", {"index": index, **search})
            assert found["hits"]["hits"][0]["_source"]["text"] == DOCUMENTS[1]
        found = client.call("search", {"index": index})  # without a body, and so without its type
        assert found["hits"]["total"]["value"] == len(documents)
        assert found["hits"]["hits"][0]["_source"].keys() == {"text"}
        client.call("indices.delete", {"index": index})
