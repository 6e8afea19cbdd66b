"""Every place where a query may stand takes one on a semantic field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, field, ids, place, scores, semantic
from tests.support.processes import Serve

QUERY: Final = "harbour"
HERE: Final = semantic(QUERY)
NEAR: Final = [str(n) for n in range(10)]  # the ten nearest
ALL: Final[dict[str, Any]] = {"match_all": {}}


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, "t-places") as found:
        documents = {
            str(n): {"body": QUERY if n < 10 else "gold", "n": n, "even": str(n % 2 == 0)}
            for n in range(14)
        }
        properties: dict[str, Any] = {"n": {"type": "integer"}, "even": {"type": "keyword"}}
        found.index("a", documents, body=field(found.endpoint("e")), **properties)
        yield found


@pytest.mark.parametrize(
    "query",
    [
        {"bool": {"must": HERE}},
        {"bool": {"should": [HERE]}},
        {"bool": {"filter": [HERE]}},
        {"dis_max": {"queries": [HERE, {"ids": {"values": []}}]}},
        {"constant_score": {"filter": HERE}},
        {"boosting": {"positive": HERE, "negative": {"term": {"n": 1}}, "negative_boost": 0.5}},
        {"function_score": {"query": HERE, "weight": 2}},
    ],
)
def test_in_queries(here, query):
    assert sorted(ids(here.search("a", query, size=10))) == NEAR


def test_what_must_not_be_found(here):
    found = ids(here.search("a", {"bool": {"must_not": [HERE]}}))
    assert sorted(found) == ["10", "11", "12", "13"]


def test_in_functions(here):
    functions = [{"filter": HERE, "weight": 5}]
    query = {"function_score": {"query": ALL, "functions": functions, "boost_mode": "replace"}}
    found = scores(here.search("a", query))
    assert found == dict.fromkeys(NEAR, 5)


def test_after_filtering(here):
    assert sorted(ids(here.search("a", ALL, post_filter=HERE))) == NEAR


def test_in_rescoring(here):
    rescore = {"window_size": 20, "query": {"rescore_query": HERE, "query_weight": 0}}
    found = scores(here.search("a", ALL, rescore=rescore, size=14))
    assert {key for key, score in found.items() if score > 0.99} == set(NEAR)


def test_in_aggregations(here):
    aggregations = {
        "one": {"filter": HERE, "aggs": {"most": {"max": {"field": "n"}}}},
        "named": {"filters": {"filters": {"near": HERE}}},
        "listed": {"filters": {"filters": [HERE]}},
        "below": {
            "terms": {"field": "even"},
            "aggs": {"near": {"filter": HERE, "aggs": {"top": {"top_hits": {"size": 1}}}}},
        },
    }
    found = here.search("a", size=0, aggs=aggregations)["aggregations"]
    assert found["one"] == {"doc_count": 10, "most": {"value": 9.0}}
    assert found["named"]["buckets"]["near"]["doc_count"] == 10
    assert found["listed"]["buckets"][0]["doc_count"] == 10
    below = found["below"]["buckets"][0]["near"]
    assert below["doc_count"] == 5
    assert set(below["top"]["hits"]["hits"][0]["_source"]) == {"body", "n", "even"}


def test_collapsed(here):
    collapse = {"field": "even", "inner_hits": {"name": "rest", "size": 2}}
    found = here.search("a", HERE, collapse=collapse)
    assert len(ids(found)) == 2
    inner = found["hits"]["hits"][0]["inner_hits"]["rest"]["hits"]
    assert inner["total"]["value"] == 5
    assert set(inner["hits"][0]["_source"]) == {"body", "n", "even"}


def test_counted(here):
    assert here.post(f"/{here.name('a')}/_count", {"query": HERE})[1]["count"] == 10


def test_validated(here):
    target = f"/{here.name('a')}/_validate/query"
    assert here.post(target, {"query": HERE})[1]["valid"] is True
    assert here.post(target, {"query": {"term": {"body": "x"}}})[1]["valid"] is False
    wrong = {"query": {"semantic": {"field": "body"}}}
    assert here.post(target, wrong)[1]["valid"] is False
    told = here.post(f"{target}?explain=true", wrong)[1]["explanations"]
    assert told == [{"valid": False, "error": "[semantic] requires a query value"}]
    told = here.post(f"{target}?explain=true", {"query": {"term": {"body": "x"}}})[1]
    reason = "semantic_text fields do not support term query"
    assert told["explanations"][0]["error"].endswith(
        f"QueryShardException: failed to create query: {reason}; "
        f"java.lang.IllegalArgumentException: {reason}"
    )


def test_explained(here):
    target = f"/{here.name('a')}/_explain/1"
    found = here.post(target, {"query": HERE})[1]
    assert found["matched"] is True
    assert "get" not in found
    shown = here.post(f"{target}?_source=true", {"query": HERE})[1]["get"]["_source"]
    assert set(shown) == {"body", "n", "even"}
    hit = here.search("a", HERE, explain=True)["hits"]["hits"][0]
    assert hit["_explanation"]["value"] == pytest.approx(1.0)


def test_page_by_page(here):
    _, page = here.post(f"/{here.name('a')}/_search?scroll=1m", {"query": HERE, "size": 6})
    seen = ids(page)
    while ids(page):
        page = here.post("/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})[1]
        seen.extend(ids(page))
    assert sorted(seen) == NEAR


def test_points_in_time(here):
    pit = here.post(f"/{here.name('a')}/_pit?keep_alive=1m")[1]["id"]
    search = {"pit": {"id": pit}, "query": HERE, "size": 4, "sort": [{"n": "asc"}]}
    first = here.post("/_search", search)[1]
    assert ids(first) == NEAR[:4]
    search["search_after"] = first["hits"]["hits"][-1]["sort"]
    assert ids(here.post("/_search", search)[1]) == NEAR[4:8]


def test_field_capabilities(here):
    target = f"/{here.name('a')}/_field_caps?fields=n"
    status, found = here.post(target, {"index_filter": HERE})
    assert status == 200
    assert found["indices"] == [here.name("a")]


def test_in_the_url(here):
    source = "%7B%22query%22:%7B%22semantic%22:%7B%22field%22:%22body%22,%22query%22:%22harbour%22"
    target = (
        f"/{here.name('a')}/_search?source={source}%7D%7D%7D&source_content_type=application/json"
    )
    assert sorted(ids(here.client("GET", target).document)) == NEAR


def test_filters_of_the_source_in_the_url(here):
    target = f"/{here.name('a')}/_search?_source_includes=n,xinf*"
    _, found = here.post(target, {"query": HERE, "_source": True})
    assert set(found["hits"]["hits"][0]["_source"]) == {"n"}


def test_aliases_of_indices_and_patterns(here):
    here.client("PUT", f"/{here.name('a')}/_alias/{here.name('alias')}")
    for expression in ("alias", "a*"):
        assert sorted(ids(here.search(expression, HERE))) == NEAR


def test_inner_hits_of_chunks(here):
    """As those may ask who know where Elasticsearch keeps them."""
    chunks = "body.inference.chunks"
    nested = {
        "path": chunks,
        "query": {"exists": {"field": f"{chunks}.embeddings"}},
        "inner_hits": {},
    }
    hit = here.search("a", {"nested": nested})["hits"]["hits"][0]
    inner = hit["inner_hits"][chunks]["hits"]["hits"][0]
    assert inner["_nested"] == {"field": chunks, "offset": 0}


def test_numbers_of_any_size(here):
    """They go on as they are, and the upstream says that this one is too large."""
    query = {"bool": {"must": HERE, "filter": {"range": {"n": {"lte": 10**30}}}}}
    answer = here.client(
        "POST", f"/{here.name('a')}/_search", json.dumps({"query": query}).encode()
    )
    assert answer.status == 400
    assert "is out of range for an integer" in answer.text
