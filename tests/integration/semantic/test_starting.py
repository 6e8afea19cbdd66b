"""Semantic fields of an endpoint whose provider was still starting when it was created."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply

LOADING = json_reply({"error": "Model e5 is currently loading"}, 503)


class Starting:
    """Answers that it is loading until it is told that it is up."""

    def __init__(self) -> None:
        self.is_up = threading.Event()

    def __call__(self, call: Call) -> Reply:
        return semantic_reply(call) if self.is_up.is_set() else LOADING


@pytest.fixture
def model():
    return Starting()


@pytest.fixture
def here(serve, elasticsearch, own_index, model):
    env = {
        **own_index,
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_PROVIDER_COLD_START_WAIT": "60",
        "HFPROXY_PROVIDER_TIMEOUT": "1",
    }
    with in_thread(FaultyServer(model)) as stub:
        caller = Caller(serve(upstream=elasticsearch.url, env=env).url)
        caller.put_endpoint("starting", stub.url + "/embed")
        yield caller


def test_documents_wait_for_their_model_and_get_their_vectors(here, model):
    index = f"starting-{uuid4().hex[:8]}"
    field = {"type": "semantic_text", "inference_id": "starting"}
    here.ask("PUT", f"/{index}", {"mappings": {"properties": {"text": field}}})

    error = here.error("PUT", f"/{index}/_doc/1", {"text": "a harbour"}, status=400)
    assert "currently loading" in str(error)

    model.is_up.set()
    path = f"/{index}/_doc/1?refresh=true"
    for _ in range(10):  # a failure counts for some seconds
        if here.send("PUT", path, {"text": "a harbour"}).status == 201:
            break
        threading.Event().wait(1.0)
    query = {"query": {"semantic": {"field": "text", "query": "harbour"}}}
    assert here.ask("POST", f"/{index}/_search", query)["hits"]["total"]["value"] == 1
    settings = here.ask("GET", "/_inference/starting")["endpoints"][0]["service_settings"]
    assert settings["dimensions"] == 16
