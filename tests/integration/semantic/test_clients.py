"""What Elastic's Python client has beside plain requests: its DSL and its helpers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from elasticsearch import AsyncElasticsearch, Elasticsearch, helpers
from elasticsearch.dsl import Document, SemanticText, Text, query

from testbed.processes import Server
from tests.integration.examples import DOCUMENTS, QUERY

INDEX = "python-semantic"
COW = DOCUMENTS[1]
FIELD = {"type": "semantic_text", "inference_id": "clients-embeddings"}
MEANING = {"semantic": {"field": "body", "query": QUERY}}


@pytest.fixture
def client(semantic_proxy: Server) -> Iterator[Elasticsearch]:
    with Elasticsearch(semantic_proxy.url, request_timeout=120) as client:
        yield client
        client.indices.delete(index=INDEX, ignore_unavailable=True)


class Note(Document):
    title = Text()
    body = SemanticText(inference_id="clients-embeddings")

    class Index:
        name = INDEX


def test_documents_of_the_dsl_are_found_by_meaning(client):
    Note.init(using=client)
    for text in DOCUMENTS:
        Note(title="note", body=text).save(using=client)
    client.indices.refresh(index=INDEX)
    search = Note.search(using=client)
    found = search.query(query.Semantic(field="body", query=QUERY)).execute()
    assert found[0].body == COW
    both = search.query(query.Match(body=QUERY) & query.Match(title="note")).highlight("body")
    assert both.execute()[0].meta.highlight.body[0].strip() == COW
    shown = client.indices.get_mapping(index=INDEX)[INDEX]["mappings"]["properties"]["body"]
    assert (shown["type"], shown["inference_id"]) == ("semantic_text", "clients-embeddings")


def test_all_documents_are_found_without_a_query(client):
    client.indices.create(index=INDEX, mappings={"properties": {"body": FIELD}})
    client.index(index=INDEX, document={"body": COW}, refresh=True)
    (hit,) = client.search(index=INDEX)["hits"]["hits"]
    assert hit["_source"] == {"body": COW}
    assert client.count(index=INDEX)["count"] == 1


@pytest.mark.parametrize("way", ["bulk", "streaming", "parallel"])
def test_every_bulk_helper_fills_fields(client, way):
    client.indices.create(index=INDEX, mappings={"properties": {"body": FIELD}})
    actions = [{"_index": INDEX, "body": text} for text in DOCUMENTS * 10]
    match way:
        case "bulk":
            helpers.bulk(client, actions, chunk_size=7, refresh=True)
        case "streaming":
            assert all(ok for ok, _ in helpers.streaming_bulk(client, actions, chunk_size=7))
        case "parallel":
            assert all(ok for ok, _ in helpers.parallel_bulk(client, actions, chunk_size=7))
    client.indices.refresh(index=INDEX)
    assert_filled(client.search(index=INDEX, query=MEANING, size=50), len(actions))


async def test_the_async_helper_fills_fields(client, semantic_proxy):
    client.indices.create(index=INDEX, mappings={"properties": {"body": FIELD}})
    actions = [{"_index": INDEX, "body": text} for text in DOCUMENTS * 10]
    async with AsyncElasticsearch(semantic_proxy.url, request_timeout=120) as asynchronous:
        await helpers.async_bulk(asynchronous, actions, refresh=True)
    assert_filled(client.search(index=INDEX, query=MEANING, size=50), len(actions))


def assert_filled(answer, count: int) -> None:
    """Only documents with vectors are found by meaning, and best first."""
    hits = answer["hits"]["hits"]
    assert answer["hits"]["total"]["value"] == min(count, 50)
    assert {hit["_source"]["body"] for hit in hits[: count // len(DOCUMENTS)]} == {COW}
