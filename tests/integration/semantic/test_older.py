"""Semantic fields on older releases: what they can do works, what they cannot do is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.semantic.layout import CONTAINER
from tests.integration.semantic.test_reads import INDEX, READS, set_up
from tests.support.processes import Serve
from tests.support.rawhttp import send
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

    def test_vectors_are_quantised_to_bits(self, caller: Caller, older):
        field = {"type": "semantic_text", "inference_id": "reads-large"}
        caller.ask("PUT", "/older-large", {"mappings": {"properties": {"a": field}}})
        assert '"bbq_hnsw"' in Caller(older.url).send("GET", "/older-large/_mapping").text


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
