"""Semantic fields on older releases: what they can do works, what they cannot do is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy.semantic.layout import CONTAINER
from proxy.semantic.retrievers.leaves import without_retriever
from tests.integration.semantic.test_reads import INDEX, READS, set_up
from tests.support.meaning import weights
from tests.support.processes import Serve
from tests.support.rawhttp import send
from tests.support.searching import Client, found
from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread


@pytest.fixture(scope="module")
def caller(serve_for_session: Serve, older) -> Iterator[Caller]:
    with in_thread(FaultyServer(semantic_reply)) as stub:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_SEMANTIC_DEFAULT_INFERENCE_ID": "reads-embed",
            "HFPROXY_STORE_INDEX": "hugging-face-inference-endpoints-older",
        }
        proxy = Caller(serve_for_session(upstream=older.url, env=env).url)
        proxy.put_endpoint("reads-embed", f"{stub.url}/embed")
        proxy.put_endpoint("reads-large", f"{stub.url}/embed384")
        proxy.put_endpoint("reads-sparse", f"{stub.url}/sparse", "sparse_embedding")
        yield proxy


@pytest.fixture(scope="module")
def filled(caller: Caller) -> Caller:
    set_up(caller)
    return caller


@pytest.mark.parametrize("older", ["8.19.8"], indirect=True, scope="module")
class TestBefore92:
    """A release that shows vectors in `_source`, and knows no `exclude_vectors`."""

    def test_nothing_of_ours_shows(self, filled: Caller):
        for method, path, body in READS:
            assert CONTAINER not in filled.send(method, path, body).text, f"{method} {path}"

    def test_inference_fields_on_request(self, filled: Caller):
        answer = filled.ask("POST", f"/{INDEX}/_search", {"fields": ["_inference_fields"]})
        source = answer["hits"]["hits"][0]["_source"]
        chunks = source["_inference_fields"]["body"]["inference"]["chunks"]
        assert len(chunks["body"][0]["embeddings"]) == 16

    def test_a_filter_does_not_take_them_in_by_a_pattern(self, filled: Caller):
        answer = filled.ask("POST", f"/{INDEX}/_search", {"_source": ["*"]})
        assert "_inference_fields" not in answer["hits"]["hits"][0]["_source"]

    def test_vectors_are_shown_on_request(self, filled: Caller):
        answer = filled.ask("POST", f"/{INDEX}/_search", {"_source": {"exclude_vectors": False}})
        assert "_inference_fields" in answer["hits"]["hits"][0]["_source"]

    def test_no_document_is_written_by_a_path_with_a_type(self, filled: Caller):
        """As 7 did, which 8 still does for callers who ask for it."""
        kind = "application/vnd.elasticsearch+json;compatible-with=7"
        headers = [("Content-Type", kind), ("Accept", kind)]
        update = b'{"doc":{"body":"a"},"doc_as_upsert":true}'
        for path, body in {
            "words/1": b'{"body":"a"}',
            "words": b'{"body":"a"}',
            "words/1/_create": b'{"body":"a"}',
            "words/1/_update": update,
            "words/_bulk": b'{"index":{}}\n{"body":"a"}\n',
        }.items():
            answer = send(filled.url, "POST", f"/{INDEX}/{path}", headers, body)
            assert answer.status == 400, f"{path} {answer.text}"

    def test_parts_behind_a_type_go_where_they_say(self, filled: Caller):
        kind = "application/vnd.elasticsearch+json;compatible-with=7"
        headers = [("Content-Type", kind), ("Accept", kind)]
        here = f'"_index":"{INDEX}","_id":"1"'.encode()
        filled.send("PUT", "/typed-plain", {})
        filled.send("GET", "/typed-plain/_search")
        for path, body, status in (
            ("/typed-plain/t/_bulk", b'{"index":{%b}}\n{"body":"a"}\n' % here, 400),
            ("/typed-plain/_doc/_bulk", b'{"index":{%b}}\n{"body":"a"}\n' % here, 400),
            ("/_cat/t/_bulk", b'{"index":{%b}}\n{"body":"a"}\n' % here, 400),
            ("/typed-plain/t/_bulk", b'{"index":{}}\n{"body":"a"}\n', 200),
            ("/typed-plain/t/_mget", b'{"docs":[{%b}]}' % here, 200),
            ("/typed-plain/t/_msearch", b'{"index":"%b"}\n{}\n' % INDEX.encode(), 200),
            (f"/{INDEX}/t/1/_source", b"", 200),
        ):
            answer = send(filled.url, "POST" if body else "GET", path, headers, body or None)
            assert answer.status == status, f"{path} {answer.text}"
            assert CONTAINER not in answer.text, path

    def test_vectors_are_quantised_to_bits(self, caller: Caller, older):
        field = {"type": "semantic_text", "inference_id": "reads-large"}
        caller.ask("PUT", "/older-large", {"mappings": {"properties": {"a": field}}})
        assert '"bbq_hnsw"' in Caller(older.url).send("GET", "/older-large/_mapping").text

    def test_fields_of_sparse_endpoints(self, caller: Caller):
        field = {"type": "semantic_text", "inference_id": "reads-sparse"}
        options = {"sparse_vector": {"prune": False}}
        mappings = {"properties": {"a": {**field, "index_options": options}}}
        caller.ask("PUT", "/older-sparse", {"mappings": mappings})
        document = {"a": ["harbour", "gold v1.2"]}
        caller.ask("PUT", "/older-sparse/_doc/1?refresh=true", document, status=201)
        body = {
            "query": {"semantic": {"field": "a", "query": "gold v1.2"}},
            "highlight": {"fields": {"a": {"number_of_fragments": 1}}},
            "fields": ["_inference_fields"],
        }
        hit = caller.ask("POST", "/older-sparse/_search", body)["hits"]["hits"][0]
        assert hit["_score"] == sum(one * one for one in weights("gold v1.2").values())
        assert hit["highlight"]["a"] == ["gold v1.2"]
        chunks = hit["_source"]["_inference_fields"]["a"]["inference"]["chunks"]["a"]
        assert [one["embeddings"] for one in chunks] == [weights("harbour"), weights("gold v1.2")]


@pytest.mark.parametrize("older", ["7.17.9"], indirect=True, scope="module")
def test_a_release_that_cannot_search_vectors_is_told_at_once(caller: Caller):
    mappings = {"properties": {"a": {"type": "semantic_text", "inference_id": "reads-embed"}}}
    template = {"index_patterns": ["older-t*"], "template": {"mappings": mappings}}
    requests = (("/older-a", {"mappings": mappings}), ("/_component_template/older-c", template))
    caller.ask("PUT", "/older-b")
    for path, body in (*requests, ("/older-b/_mapping", mappings)):
        error = caller.error("PUT", path, body)
        assert error["type"] == "illegal_argument_exception"
        assert error["reason"] == (
            "fields of type [semantic_text] need Elasticsearch [8.15] or later behind the proxy, "
            "and it is [7.17]"
        )


@pytest.mark.parametrize("older", ["7.17.9"], indirect=True, scope="module")
class TestWithoutRetrievers:
    """A release that knows no retrievers at all."""

    def test_a_lone_one_is_a_query(self, caller: Caller):
        documents = ({"title": "sea", "n": 1}, {"title": "the sea", "n": 2}, {"title": "x", "n": 3})
        lines: list[Any] = []
        for n, one in enumerate(documents):
            lines += [{"index": {"_id": n}}, one]
        caller.ask("POST", "/older-plain/_bulk?refresh=true", lines)
        standard = {"query": {"match": {"title": "sea"}}, "filter": {"term": {"n": 2}}}
        body = {"retriever": {"standard": standard}, "_source": False}
        for _ in range(2):  # the release is known by the second time
            hits = caller.ask("POST", "/older-plain/_search", body)["hits"]["hits"]
            assert [hit["_id"] for hit in hits] == ["1"]
        lines = [{"index": "older-plain"}, body]
        (answer,) = caller.ask("POST", "/_msearch", lines)["responses"]
        assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["1"]

    def test_what_it_refuses_is_refused_in_its_words(self, caller: Caller):
        error = caller.error("POST", "/older-plain/_search", {"retriever": {"rescorer": {}}})
        assert error["type"] == "parsing_exception"
        assert "[retriever]" in error["reason"]


def test_a_lone_retriever_is_the_query_that_it_stands_for(elasticsearch):
    """So that early Elasticsearches find the same without retrievers."""
    direct = Client(elasticsearch.url, "t-lone")
    properties = {"v": {"type": "dense_vector", "dims": 2}, "t": {"type": "text"}}
    direct("PUT", "/t-lone", {"mappings": {"properties": properties}})
    for n in range(4):
        document = {"v": [1, n + 0.5], "t": "word " * n, "n": n}
        direct("PUT", f"/t-lone/_doc/{n}?refresh=true", document)
    knn = {"field": "v", "query_vector": [1, 1], "k": 3, "num_candidates": 4}
    match = {"query": {"match": {"t": "word"}}}
    few = {"filter": [{"range": {"n": {"gte": 2}}}]}
    retrievers: list[Any] = [
        {"standard": match},
        {"standard": {**match, **few}},
        {"standard": {**match, "sort": [{"n": "desc"}], "search_after": [3]}},
        {"standard": {**match, "min_score": 0.15}},
        {"knn": knn},
        {"knn": {**knn, **few}},
        {"knn": {**knn, "min_score": 0.9}},
    ]
    for retriever in retrievers:
        search = {"retriever": retriever, "size": 3}
        answer = direct("POST", "/t-lone/_search", without_retriever(search)).document
        expected = direct("POST", "/t-lone/_search", search).document
        assert found(answer) == found(expected), retriever
        assert "retriever" not in without_retriever(search)
    direct("DELETE", "/t-lone")
