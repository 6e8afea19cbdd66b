"""Asynchronous searches and ES|QL; tests/support/xpack.py stands for Elasticsearch's modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import orjson
import pytest

from tests.support.layer import ENABLED, HIDDEN, Caller, put_endpoint
from tests.support.meaning import meaning_reply, vector
from tests.support.rawhttp import Answer
from tests.support.stubs import FaultyServer, in_thread
from tests.support.waiting import eventually
from tests.support.xpack import XPack

INDEX: Final = "xpack-notes"
TEXTS: Final = {"1": "the ferry is late", "2": "a moon over the sea"}
SEMANTIC: Final = {"semantic": {"field": "body", "query": "late ferry"}}
HIGHLIGHT: Final = {"fields": {"body": {"number_of_fragments": 1}}}


@pytest.fixture(scope="module")
def upstream(elasticsearch) -> Iterator[tuple[XPack, str]]:
    xpack = XPack(elasticsearch.url)
    with in_thread(FaultyServer(xpack)) as server:
        yield xpack, server.url


@pytest.fixture(scope="module")
def proxies(serve_for_session, elasticsearch, upstream) -> Iterator[tuple[Caller, Caller]]:
    """Two proxies with one store, and an index of two documents."""
    store = {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}
    with in_thread(FaultyServer(meaning_reply)) as provider:
        first, second = (
            Caller(serve_for_session(upstream=upstream[1], env={**ENABLED, **store}).url)
            for _ in range(2)
        )
        put_endpoint(first, provider.url, "xpack-embed")
        put_endpoint(first, provider.url, "xpack-sought")
        mapping = {"type": "semantic_text", "inference_id": "xpack-embed"}
        first.ok("PUT", f"/{INDEX}", {"mappings": {"properties": {"body": mapping}}})
        lines: list[Any] = []
        for key, text in TEXTS.items():
            lines += [{"index": {"_id": key}}, {"body": text}]
        first.ok("POST", f"/{INDEX}/_bulk?refresh=true", lines)
        eventually(lambda: HIDDEN not in second("GET", f"/{INDEX}/_mapping").text)
        yield first, second
        Caller(elasticsearch.url)("DELETE", f"/{INDEX}")


def document(answer: Answer) -> Any:
    assert HIDDEN not in answer.text
    return orjson.loads(answer.content)


def highlights(answer: Any) -> dict[str, Any]:
    hits = answer["response"]["hits"]["hits"]
    return {hit["_id"]: hit["highlight"] for hit in hits}


def test_another_proxy_shows_the_highlights_of_what_was_found_meanwhile(proxies):
    first, second = proxies
    body = {
        "query": SEMANTIC,
        "highlight": HIGHLIGHT,
        "aggs": {"n": {"value_count": {"field": "_index"}}},
    }
    target = f"/{INDEX}/_async_search?wait_for_completion_timeout=0"
    begun = first.ok("POST", target, body)
    assert (begun["is_running"], begun["response"]["hits"]["hits"]) == (True, [])
    for proxy in (second, first, second):
        answer = proxy("GET", f"/_async_search/{begun['id']}")
        assert (document(answer)["id"], document(answer)["is_running"]) == (begun["id"], False)
        assert highlights(document(answer)) == {
            key: {"body": [text]} for key, text in TEXTS.items()
        }
        assert document(answer)["response"]["aggregations"] == {"n": {"value": 2}}
    page = second.ok(
        "GET", f"/_async_search/{begun['id']}?filter_path=response.hits.hits.highlight"
    )
    assert len(page["response"]["hits"]["hits"]) == 2


def test_what_is_complete_at_once_has_no_id(proxies):
    first, _ = proxies
    body = {"query": SEMANTIC, "highlight": HIGHLIGHT}
    answer = first("POST", f"/{INDEX}/_async_search", body)
    assert set(document(answer)) == {"is_partial", "is_running", "response"}
    assert set(highlights(document(answer))) == set(TEXTS)
    assert "aggregations" not in document(answer)["response"]


def test_retrievers_are_evaluated_in_asynchronous_searches(proxies):
    first, second = proxies
    leaf = {"standard": {"query": SEMANTIC}}
    body = {"retriever": {"rrf": {"retrievers": [leaf, leaf]}}, "highlight": HIGHLIGHT}
    at_once = first.ok("POST", f"/{INDEX}/_async_search", {**body, "explain": True})
    assert [hit["_id"] for hit in at_once["response"]["hits"]["hits"]] == ["1", "2"]
    assert "rrf score" in str(at_once["response"]["hits"]["hits"][0]["_explanation"])
    begun = first.ok("POST", f"/{INDEX}/_async_search?wait_for_completion_timeout=0", body)
    later = second.ok("GET", f"/_async_search/{begun['id']}")
    assert set(highlights(later)) == set(TEXTS)


@pytest.mark.parametrize("path", ["/_query", "/_query/async"])
def test_esql_gets_vectors_for_texts(proxies, upstream, path: str):
    xpack, _ = upstream
    body = {
        "query": "ROW v = TEXT_EMBEDDING(?, ?), n = ? // TEXT_EMBEDDING",
        "params": ["late ferry", "xpack-sought", 7],
    }
    proxies[0].ok("POST", path, body)
    sent = xpack.queries[-1]
    assert sent["params"] == body["params"]
    numbers = sent["query"].partition("([")[2].partition("])")[0]
    found = [float(one) for one in numbers.split(",")]
    assert found == pytest.approx(vector("late ferry"), abs=1e-7)
    assert sent["query"] == f"ROW v = TO_DENSE_VECTOR([{numbers}]), n = ?3 // TEXT_EMBEDDING"


@pytest.mark.parametrize("columnar", [True, False])
def test_esql_shows_no_columns_of_the_layer(proxies, columnar: bool):
    body = {"query": f"FROM {INDEX} METADATA _source", "columnar": columnar}
    answer = proxies[0]("POST", "/_query", body)
    assert [one["name"] for one in document(answer)["columns"]] == ["body", "_source"]
    documents = [{"body": text} for text in TEXTS.values()]
    rows = [[one["body"], one] for one in documents]
    wanted = [list(TEXTS.values()), documents] if columnar else rows
    assert document(answer)["values"] == wanted
