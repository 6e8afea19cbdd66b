"""Semantic fields of an endpoint whose model expects texts to begin with what they are."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread

PREFIXES = {"e5-*": {"search": "query: ", "ingest": "passage: "}}


@pytest.fixture
def stub():
    with in_thread(FaultyServer(semantic_reply)) as server:
        yield server


@pytest.fixture
def here(serve, elasticsearch, own_index, stub):
    env = {
        **own_index,
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_PROVIDER_PREFIXES": json.dumps(PREFIXES),
    }
    caller = Caller(serve(upstream=elasticsearch.url, env=env).url)
    for name in ("e5-here", "plain"):
        caller.put_endpoint(name, stub.url + "/embed")
    stub.calls.clear()
    return caller


def sent(stub: FaultyServer) -> list[str]:
    texts = [text for call in stub.calls for text in call.json["inputs"]]
    stub.calls.clear()
    return texts


def test_documents_and_queries_are_told_apart(here, stub):
    index = f"prefixes-{uuid4().hex[:8]}"
    fields = {
        "text": {"type": "semantic_text", "inference_id": "e5-here"},
        "other": {"type": "semantic_text", "inference_id": "plain"},
    }
    here.ask("PUT", f"/{index}", {"mappings": {"properties": fields}})
    document = {"text": "a harbour", "other": "a pier"}
    here.ask("PUT", f"/{index}/_doc/1?refresh=true", document, status=201)
    assert sorted(sent(stub)) == ["a pier", "passage: a harbour"]

    query = {"query": {"semantic": {"field": "text", "query": "harbour"}}}
    found = here.ask("POST", f"/{index}/_search", query)
    assert sent(stub) == ["query: harbour"]
    assert found["hits"]["hits"][0]["_source"] == document


def test_requests_name_the_kind_of_their_inputs(here, stub):
    body = {"input": ["a"], "input_type": "search"}
    here.ask("POST", "/_inference/e5-here", body)
    here.ask("POST", "/_inference/e5-here", {"input": ["a"]})
    assert sent(stub) == ["query: a", "a"]
    error = here.error("POST", "/_inference/plain", body)
    assert "The input_type option is not supported by this service" in error["reason"]


def test_a_pipeline_ingests_what_it_embeds(here, stub):
    pipeline = f"prefixes-{uuid4().hex[:8]}"
    output = {"input_field": "text", "output_field": "vector"}
    processor = {"inference": {"model_id": "e5-here", "input_output": [output]}}
    here.ask("PUT", f"/_ingest/pipeline/{pipeline}", {"processors": [processor]})
    path = f"/{pipeline}/_doc/1?pipeline={pipeline}"
    here.ask("PUT", path, {"text": "a harbour"}, status=201)
    assert sent(stub) == ["passage: a harbour"]
