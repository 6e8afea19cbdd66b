"""Retrievers evaluated before a real Elasticsearch that knows only `standard` and `knn`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.support.meaning import meaning_reply, vector
from tests.support.processes import Serve
from tests.support.searching import Client, constant, found, linear, rrf
from tests.support.stubs import FaultyServer, in_thread

INDEX: Final = "t-retrievers"
PLAIN: Final = "t-retrievers-plain"
VECTORS: Final = "t-retrievers-vectors"
ENDPOINTS: Final = {
    "text_embedding/t-embed": "/embed",
    "rerank/t-rerank": "/rerank",
    "rerank/t-top": "/rerank",
}
DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "1": {"title": "Harbour rota", "body": "harbour pilot ships", "kind": "note", "n": 1},
    "2": {"title": "Bakery", "body": "harbour baker", "kind": "note", "n": 2},
    "3": {"title": "Mine", "body": "kneads gold lead", "kind": "log", "n": 3},
    "4": {"title": "Harbour walls", "body": "stones", "kind": "log", "n": 4},
    "5": {"body": "ships without a title", "kind": "log", "n": 5},
}
WORDS: Final = {"standard": {"query": {"match": {"title": "harbour"}}}}  # 1 and 4
MEANING: Final = {"standard": {"query": {"semantic": {"field": "body", "query": "harbour"}}}}

EVERYTHING: Final[Any] = {"standard": {"query": {"match_all": {}}}}
NOTHING: Final[Any] = {"standard": {"query": {"match_none": {}}}}


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(meaning_reply)) as server:
        yield server


@pytest.fixture(scope="module")
def client(
    serve_for_session: Serve, elasticsearch: Elasticsearch, provider: FaultyServer
) -> Iterator[Client]:
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": "hugging-face-inference-endpoints-retrievers",
    }
    proxy = serve_for_session(upstream=elasticsearch.url, env=env)
    client = Client(proxy.url, INDEX)
    for name, path in ENDPOINTS.items():
        settings = {"url": provider.url + path, "api_key": "hf_secret"}
        body: dict[str, Any] = {"service": "hugging_face", "service_settings": settings}
        if name.endswith("top"):
            body["task_settings"] = {"top_n": 5}
        client("DELETE", f"/_inference/{name}?force=true")
        assert client("PUT", f"/_inference/{name}", body).status == 200
    _fill(client)
    yield client
    client("DELETE", f"/{INDEX},{PLAIN},{VECTORS}?ignore_unavailable=true")


def _fill(client: Client) -> None:
    properties: dict[str, Any] = {
        "title": {"type": "text"},
        "kind": {"type": "keyword"},
        "n": {"type": "integer"},
    }
    semantic = {"type": "semantic_text", "inference_id": "t-embed"}
    settings = {"number_of_shards": 1}
    for index, more in ((INDEX, {"body": semantic}), (PLAIN, {"body": {"type": "text"}})):
        client("DELETE", f"/{index}")
        mappings = {"properties": {**properties, **more}}
        made = client("PUT", f"/{index}", {"settings": settings, "mappings": mappings})
        assert made.status == 200, made.text
        lines = "".join(
            json.dumps({"index": {"_id": key}}) + "\n" + json.dumps(document) + "\n"
            for key, document in DOCUMENTS.items()
        )
        filled = client("POST", f"/{index}/_bulk?refresh=true", lines.encode())
        assert filled.document["errors"] is False


def reranked(child: Any, field: str = "title", text: str = "harbour walls", **more: Any) -> Any:
    values = {
        "retriever": child,
        "field": field,
        "inference_id": "t-rerank",
        "inference_text": text,
        **more,
    }
    return {"text_similarity_reranker": values}


FIRST: Final = constant({"1": 5, "2": 4, "3": 3})
SECOND: Final = constant({"3": 9, "1": 8, "4": 7})


# --- rrf


def test_rrf_gives_the_scores_of_32_bit_arithmetic(client):
    answer = client.search(rrf(FIRST, SECOND))
    assert found(answer) == {
        "1": 0.032522473,  # 1/61 + 1/62
        "3": 0.03226646,  # 1/63 + 1/61
        "2": 0.016129032,
        "4": 0.015873017,
    }
    assert answer["hits"]["max_score"] == 0.032522473
    assert answer["hits"]["total"] == {"value": 4, "relation": "eq"}
    assert answer["hits"]["hits"][0]["_source"] == DOCUMENTS["1"]


def test_weights_and_rank_constant(client):
    answer = client.search(
        rrf(
            {"retriever": FIRST, "weight": 0.5}, {"retriever": SECOND, "weight": 2}, rank_constant=1
        ),
    )
    # 3: 0.5/4 + 2/2, 1: 0.5/2 + 2/3, 4: 2/4, 2: 0.5/3
    assert list(found(answer)) == ["3", "1", "4", "2"]
    assert list(found(answer).values()) == pytest.approx([1.125, 0.916667, 0.5, 0.166667], abs=1e-6)


def test_words_and_meaning(client):
    answer = client.search(rrf(WORDS, MEANING))
    scores = found(answer)
    assert next(iter(scores)) == "1"
    assert scores["1"] == pytest.approx(1 / 61 + 1 / 62, abs=1e-7)
    assert set(scores) == set(DOCUMENTS)


def test_ties_go_by_place_in_the_index(client):
    answer = client.search(rrf(constant({"4": 2}), constant({"2": 2}), constant({"3": 2})))
    assert list(found(answer)) == ["2", "3", "4"]


def test_ties_are_told_apart_at_the_edge_of_the_window(client):
    inner = rrf(constant({"4": 2}), constant({"2": 2}), rank_window_size=1)
    assert list(found(client.search(rrf(inner, rank_window_size=1)))) == ["2"]


def test_filters_of_the_tree_narrow_its_leaves(client):
    tree = rrf(MEANING, WORDS, filter={"term": {"kind": "log"}}, rank_window_size=1)
    answer = client.search(tree)
    assert set(found(answer)) < {"3", "4", "5"}
    inner = rrf(rrf(MEANING, WORDS), filter=[{"term": {"kind": "log"}}, {"term": {"n": 4}}])
    assert list(found(client.search(inner))) == ["4"]


def test_a_knn_leaf_on_the_semantic_field_is_filtered_before_it_is_searched(client):
    knn = {"knn": {"field": "body", "query_vector": vector("harbour"), "k": 1, "num_candidates": 5}}
    assert list(found(client.search(rrf(knn)))) == ["2"]
    assert list(found(client.search(rrf(knn, filter={"term": {"n": 1}})))) == ["1"]


def test_min_score_of_the_tree_and_of_leaves(client):
    assert list(found(client.search(rrf(FIRST, SECOND, min_score=0.03)))) == ["1", "3"]
    narrow = {"standard": {**FIRST["standard"], "min_score": 4}}
    answer = client.search(rrf(narrow, constant({"4": 1})))
    assert set(found(answer)) == {"1", "2", "4"}
    assert answer["hits"]["total"]["value"] == 3


def test_a_leaf_with_an_order_of_its_own(client):
    by_number = {"standard": {"sort": [{"n": "desc"}]}}
    assert list(found(client.search(rrf(by_number)))) == ["5", "4", "3", "2", "1"]


def test_a_rank_is_the_retriever_that_it_stands_for(client):
    first, second = ({"query": one["standard"]["query"]} for one in (FIRST, SECOND))
    body: Any = {"sub_searches": [first, second], "rank": {"rrf": {"rank_constant": 5}}}
    answer = client("POST", f"/{PLAIN}/_search", body).document
    assert found(answer) == found(client.search(rrf(FIRST, SECOND, rank_constant=5)))
    knn = {"field": "body", "query_vector": vector("harbour"), "k": 2, "num_candidates": 9}
    body = {**first, "knn": knn, "rank": {"rrf": {}}}
    assert list(found(client("POST", f"/{INDEX}/_search", body).document)) == ["1", "2", "3"]


# --- linear


def test_linear_sums_weighted_scores(client):
    answer = client.search(
        linear({"retriever": FIRST, "weight": 2}, {"retriever": SECOND, "normalizer": "minmax"}),
    )
    # 1: 2*5 + 0.5, 2: 2*4, 3: 2*3 + 1, 4: 0
    assert {key: score for key, score in found(answer).items() if score > 1e-3} == {
        "1": 10.5,
        "2": 8.0,
        "3": 7.0,
    }
    assert list(found(answer)) == ["1", "2", "3", "4"]


def test_l2_norm_and_min_score(client):
    child = {"retriever": constant({"1": 3, "2": 4}), "normalizer": "l2_norm"}
    assert found(client.search(linear(child))) == {"2": 0.8, "1": 0.6}
    answer = client.search(linear(child, min_score=0.7))
    assert found(answer) == {"2": 0.8}
    assert answer["hits"]["total"]["value"] == 1


def test_a_normalizer_for_all(client):
    tree = linear({"retriever": FIRST}, {"retriever": SECOND}, normalizer="minmax")
    assert found(client.search(tree))["1"] == 1.5


def test_a_retrievers_own_normalizer_goes_before_that_for_all(client):
    own = {"retriever": SECOND, "normalizer": "none"}
    tree = linear({"retriever": FIRST}, own, normalizer="minmax")
    assert found(client.search(tree))["1"] == 9.0  # 1 + 8


# --- text_similarity_reranker


def test_reranking_drops_documents_without_the_field_but_counts_them(client):
    answer = client.search(reranked(EVERYTHING))
    assert found(answer) == {"4": 2.0, "1": 1.5, "2": 1.0, "3": 1.0}
    assert answer["hits"]["total"]["value"] == 5


def test_the_page_of_a_reranker_is_its_window(client):
    assert len(found(client.search(reranked(EVERYTHING, rank_window_size=2)))) == 2
    assert list(found(client.search(reranked(EVERYTHING), size=1, **{"from": 1}))) == ["1"]
    assert found(client.search(reranked(EVERYTHING), size=5, **{"from": 9})) == {}


def test_min_score_is_of_the_reranker(client):
    answer = client.search(reranked(FIRST, min_score=0.5))
    assert found(answer) == {"1": 1.5}
    assert answer["hits"]["total"]["value"] == 1


def test_reranking_of_fused_retrievers_and_fusing_of_rerankers(client):
    inner = rrf(WORDS, MEANING)
    assert list(found(client.search(reranked(inner))))[:2] == ["4", "1"]
    answer = client.search(rrf(reranked(WORDS), FIRST))
    assert found(answer)["1"] == pytest.approx(1 / 62 + 1 / 61, abs=1e-8)


def test_reranking_by_a_semantic_field(client):
    answer = client.search(reranked(MEANING, "body", "pilot ships"))
    assert found(answer) == {"1": 2.0, "5": 1.5, "2": 1.0, "3": 1.0, "4": 1.0}


def test_negative_scores_stay_in_order(client):
    client("PUT", f"/{PLAIN}/_doc/neg?refresh=true", {"title": "-2", "n": 0})
    try:
        tree = reranked({"standard": {"query": {"terms": {"n": [0, 1]}}}})
        assert found(client.search(tree, PLAIN)) == {"1": 1.5, "neg": 0.13533528}
    finally:
        client("DELETE", f"/{PLAIN}/_doc/neg?refresh=true")


def test_the_best_chunk_is_reranked(client, provider):
    text = "Nothing of note here. " * 30 + "The harbour walls stand. " + "Dust again. " * 30
    client("PUT", f"/{PLAIN}/_doc/long?refresh=true", {"title": text, "n": 9})
    try:
        snippets = {"size": 1, "chunking_settings": {"max_chunk_size": 20}}
        tree = reranked({"standard": {"query": {"term": {"n": 9}}}}, chunk_rescorer=snippets)
        assert found(client.search(tree, PLAIN)) == {"long": 2.0}
        (sent,) = [call for call in provider.calls if call.path == "/rerank"][-1].json["texts"]
        assert "harbour walls" in sent
        assert len(sent) < 200
    finally:
        client("DELETE", f"/{PLAIN}/_doc/long?refresh=true")


def test_failures_of_a_reranker(client):
    cause = {
        "type": "resource_not_found_exception",
        "reason": "Inference endpoint not found [gone]",
    }
    reason = (
        "[text_similarity_reranker] search failed - retrievers '[standard]' returned errors. "
        "All failures are attached as suppressed exceptions."
    )
    failure = {
        "type": "search_phase_execution_exception",
        "reason": "Computing updated ranks for results failed",
        "phase": "rank-feature",
        "grouped": True,
        "failed_shards": [],
    }
    for child in (WORDS, NOTHING):
        assert client.refusal(reranked(child, inference_id="gone")) == {
            "error": {
                "root_cause": [
                    {"type": "status_exception", "reason": reason, "suppressed": [failure]}
                ],
                "type": "status_exception",
                "reason": reason,
                "suppressed": [{**failure, "caused_by": cause}],
            },
            "status": 404,
        }


def test_endpoints_that_do_not_fit(client):
    error = client.refusal(reranked(WORDS, inference_id="t-embed"))
    assert error["status"] == 400
    error = client.refusal(reranked(WORDS, inference_id="t-top", rank_window_size=20))
    assert error["error"]["suppressed"][0]["caused_by"]["reason"] == (
        "Inference endpoint [t-top] is configured to return the top [5] results, but "
        "rank_window_size is [20]. Reduce rank_window_size to be less than or equal to the "
        "configured top N value."
    )


def test_failures_that_are_allowed(client):
    tree = reranked(FIRST, text="BOOM", field="body", allow_rerank_failures=True)
    tree["text_similarity_reranker"]["inference_id"] = "gone"
    assert found(client.search(tree)) == {"1": 5.0, "2": 4.0, "3": 3.0}


# --- fields and a text


def test_what_agents_of_kibana_send(client):
    answer = client.search(
        {
            "rrf": {
                "rank_window_size": 20,
                "query": "harbour walls",
                "fields": ["title", "body"],
            }
        },
        highlight={
            "number_of_fragments": 5,
            "fragment_size": 500,
            "pre_tags": [""],
            "post_tags": [""],
            "order": "score",
            "fields": {"title": {}, "body": {}},
        },
    )
    scores = found(answer)
    assert set(scores) == set(DOCUMENTS)
    hits = {hit["_id"]: hit for hit in answer["hits"]["hits"]}
    assert hits["4"]["highlight"]["title"] == ["Harbour walls"]
    assert hits["1"]["highlight"] == {"title": ["Harbour rota"], "body": ["harbour pilot ships"]}


def test_fields_and_a_text_are_the_tree_that_they_stand_for(client):
    spelled = rrf(
        {
            "standard": {
                "query": {
                    "multi_match": {"query": "harbour", "type": "most_fields", "fields": ["title"]}
                }
            }
        },
        rrf({"standard": {"query": {"match": {"body": "harbour"}}}}),
    )
    short = {"rrf": {"query": "harbour", "fields": ["title", "body"]}}
    assert found(client.search(short)) == found(client.search(spelled))


@pytest.mark.parametrize("fields", [{}, {"fields": ["*"]}, {"fields": ["t*", "b*"]}])
def test_patterns_and_defaults(client, fields):
    answer = client.search({"linear": {"query": "harbour", "normalizer": "minmax", **fields}})
    assert next(iter(found(answer))) in ("1", "2", "4")
    assert set(found(answer)) == set(DOCUMENTS)


def test_several_indices_and_none(client):
    short = {"rrf": {"query": "harbour", "fields": ["title", "body"]}}
    answer = client.search(short, f"{INDEX},{PLAIN}")
    assert {hit["_index"] for hit in answer["hits"]["hits"]} == {INDEX, PLAIN}
    assert found(client.search(short, "t-no-such-*")) == {}


def test_a_field_that_takes_no_words(client):
    error = client.refusal({"rrf": {"query": "harbour", "fields": ["n"]}})["error"]
    assert "returned errors" in error["root_cause"][0]["reason"]
    assert "harbour" in json.dumps(error["suppressed"])


# --- EVERYTHING else of a search


def test_parts_of_a_search_are_as_of_any_other(client):
    answer = client.search(
        rrf(FIRST, SECOND),
        size=2,
        _source=["kind"],
        fields=["n"],
        aggs={
            "kinds": {"terms": {"field": "kind"}},
            "best": {"top_hits": {"size": 1}},
        },
        track_total_hits=True,
        post_filter={"term": {"kind": "note"}},
    )
    assert [hit["_source"] for hit in answer["hits"]["hits"]] == [{"kind": "note"}] * 2
    assert [hit["fields"] for hit in answer["hits"]["hits"]] == [{"n": [1]}, {"n": [2]}]
    assert {one["key"]: one["doc_count"] for one in answer["aggregations"]["kinds"]["buckets"]} == {
        "log": 2,
        "note": 2,
    }
    assert answer["aggregations"]["best"]["hits"]["hits"][0]["_id"] == "1"


def test_collapsed_hits(client):
    inner = {"name": "all", "size": 2, "sort": [{"n": "desc"}]}
    answer = client.search(rrf(FIRST, SECOND), collapse={"field": "kind", "inner_hits": inner})
    assert list(found(answer)) == ["1", "3"]
    grouped = answer["hits"]["hits"][1]["inner_hits"]["all"]["hits"]["hits"]
    assert [hit["_id"] for hit in grouped] == ["4", "3"]


def test_total_hits(client):
    assert "total" not in client.search(rrf(FIRST), track_total_hits=False)["hits"]
    total = client.search(rrf(WORDS, rank_window_size=1), track_total_hits=1)["hits"]["total"]
    assert total["value"] >= 1
    assert client.search(rrf(WORDS, rank_window_size=1))["hits"]["total"]["value"] == 2


def test_size_and_from_of_the_url(client):
    url = f"/{INDEX}/_search?size=1&from=1&filter_path=hits.hits._id"
    answer = client("POST", url, {"retriever": rrf(FIRST)})
    assert answer.document == {"hits": {"hits": [{"_id": "2"}]}}
    too_many = client("POST", f"/{INDEX}/_search?size=20", {"retriever": rrf(FIRST)})
    assert too_many.document["error"] == {
        "root_cause": [
            {
                "type": "action_request_validation_exception",
                "reason": "Validation Failed: 1: [rrf] requires [rank_window_size: 10] be "
                "greater than or equal to [size: 20];",
            }
        ],
        "type": "action_request_validation_exception",
        "reason": "Validation Failed: 1: [rrf] requires [rank_window_size: 10] be greater than "
        "or equal to [size: 20];",
    }


def test_named_retrievers_are_matched_queries(client):
    named = {"standard": {**FIRST["standard"], "_name": "first"}}
    answer = client.search(rrf(named, SECOND, _name="both"))
    assert set(answer["hits"]["hits"][0]["matched_queries"]) == {"first", "both"}
    assert answer["hits"]["hits"][-1]["matched_queries"] == ["both"]


def test_explanations(client):
    named = {"standard": {**WORDS["standard"], "_name": "words"}}
    answer = client.search(rrf(named, reranked(FIRST)), explain=True)
    explanation = answer["hits"]["hits"][0]["_explanation"]
    assert explanation["description"] == "sum of:"
    own, filtered = explanation["details"]
    assert filtered["details"][1]["description"] == "FieldExistsQuery [field=_primary_term]"
    assert own["description"] == (
        "rrf score: [0.032786883] computed for initial ranks [1, 1] with rankConstant: [60] as "
        "sum of [1 / (rank + rankConstant)] for each query"
    )
    words, meaning = own["details"]
    assert words["value"] == 1
    assert "in query at index [0] [words]" in words["description"]
    assert words["details"][0]["description"].startswith("weight(title:harbour")
    assert meaning["details"][0]["description"] == (
        "text_similarity_reranker match using inference endpoint: [t-rerank] on document field: "
        "[title] matching on source query "
    )


def test_explanations_where_no_document_is_nested(client):
    mapped = {"v": {"type": "dense_vector", "dims": 1, "similarity": "l2_norm"}}
    client("PUT", f"/{VECTORS}", {"mappings": {"properties": mapped}})
    client("PUT", f"/{VECTORS}/_doc/1?refresh=true", {"v": [1.0]})
    vector_search = {"knn": {"field": "v", "query_vector": [1.0], "k": 2, "num_candidates": 10}}
    answer = client.search(linear({"retriever": vector_search}), index=VECTORS, explain=True)
    explanation = answer["hits"]["hits"][0]["_explanation"]
    assert explanation["description"].startswith("weighted linear combination score: [1.0]")
    (share,) = explanation["details"]
    assert share["value"] == 1.0
    (ranked,) = share["details"]
    assert ranked["value"] == 1
    assert ranked["details"][0]["description"] == "found vector with calculated similarity: 1.0"


def test_profiles_are_passed_on(client):
    assert client.search(rrf(FIRST), profile=True)["profile"]["shards"]


def test_a_point_in_time_of_the_caller(client):
    opened = client("POST", f"/{INDEX}/_pit?keep_alive=1m").document["id"]
    body = {"retriever": rrf(FIRST), "pit": {"id": opened, "keep_alive": "1m"}}
    answer = client("POST", "/_search", body)
    assert list(found(answer.document)) == ["1", "2", "3"]
    assert client("DELETE", "/_pit", {"id": opened}).document["num_freed"] > 0


def test_many_searches_in_one_request(client, provider):
    leaves = [{"standard": {"query": {"match": {"body": f"text {n}"}}}} for n in range(3)]
    bodies = [{"retriever": rrf(leaf)} for leaf in leaves]
    bodies += [{"retriever": rrf()}, {"query": {"match_all": {}}}, {"retriever": rrf(FIRST)}]
    lines = [json.dumps(line) for body in bodies for line in ({}, body)]
    before = len(provider.calls)
    answer = client("POST", f"/{INDEX}/_msearch", "\n".join([*lines, ""]).encode()).document
    assert [call.json["inputs"] for call in provider.calls[before:]] == [
        ["text 0", "text 1", "text 2"]
    ]
    assert [one["status"] for one in answer["responses"]] == [200, 200, 200, 400, 200, 200]
    assert found(answer["responses"][5]) == {"1": 0.016393442, "2": 0.016129032, "3": 0.015873017}


# --- where nothing is semantic


@pytest.mark.parametrize("name", ["routing", "preference", "search_type"])
def test_a_line_says_how_its_leaves_are_searched(client, name):
    """As a search with the same parameter in its URL."""
    text = {"number_of_shards": 5, "number_of_replicas": 0}
    index = f"{INDEX}-shards"
    client("DELETE", f"/{index}")
    client("PUT", f"/{index}", {"settings": text})
    words = ["harbour " * 9, "harbour pilot", "a harbour", "harbour of old ships", "harbour x y"]
    lines = [
        json.dumps(line)
        for n, word in enumerate(words * 4)
        for line in ({"index": {"_id": str(n), "routing": str(n % 5)}}, {"title": word})
    ]
    client("POST", f"/{index}/_bulk?refresh=true", "\n".join([*lines, ""]).encode())
    value = {"routing": "3", "preference": "_shards:1,2", "search_type": "dfs_query_then_fetch"}
    harbour = {"standard": {"query": {"match": {"title": "harbour"}}}}
    body = {"retriever": linear({"retriever": harbour, "weight": 1}), "size": 10}
    target = f"/{index}/_search?{name}={value[name]}"
    expected = client("POST", target, body).document
    search = "\n".join([json.dumps({"index": index, name: value[name]}), json.dumps(body), ""])
    answer = client("POST", "/_msearch", search.encode()).document["responses"][0]
    assert found(answer) == found(expected) != {}
    other = client("POST", f"/{index}/_search", body).document
    client("DELETE", f"/{index}")
    assert found(other) != found(expected)


def test_plain_indices(client):
    assert found(client.search(rrf(FIRST, SECOND), PLAIN)) == found(
        client.search(rrf(FIRST, SECOND))
    )
    assert list(found(client.search(reranked(FIRST), PLAIN))) == ["1", "2", "3"]


def test_all_texts_are_embedded_in_one_call(client, provider):
    text = {"semantic": {"field": "body", "query": "one of a kind"}}
    leaf = {"standard": {"query": text}}
    before = len(provider.calls)
    other = {"match": {"body": "another one"}}
    tree = rrf(leaf, linear({"retriever": leaf}, {"retriever": {"standard": {"query": other}}}))
    client.search(tree, aggs={"near": {"filter": text}})
    sent = [call.json["inputs"] for call in provider.calls[before:]]
    assert sent == [["one of a kind", "another one"]]


# --- errors


def test_a_leaf_that_the_shards_refuse(client):
    bad = {"standard": {"query": {"query_string": {"query": "title:("}}}}
    error = client.refusal(rrf(WORDS, bad))["error"]
    assert error["reason"] == (
        "[rrf] search failed - retrievers '[standard]' returned errors. All failures are attached "
        "as suppressed exceptions."
    )
    (shard,) = error["suppressed"][0]["failed_shards"]
    assert shard["reason"]["reason"] == "Failed to parse query [title:(]"
    assert "caused_by" in shard["reason"]
    assert "caused_by" not in json.dumps(error["root_cause"])


@pytest.mark.parametrize(
    ("leaf", "status", "type"),
    [
        ({"standard": {"query": {"foo": {}}}}, 400, "parsing_exception"),
        ({"standard": {"quer": {}}}, 400, "x_content_parse_exception"),
        ({"what": {}}, 400, "parsing_exception"),
        ({"knn": {"field": "n", "k": 2}}, 400, "illegal_argument_exception"),
    ],
)
def test_a_leaf_that_cannot_be_read(client, leaf, status, type):
    error = client.refusal(rrf(leaf))
    assert (error["status"], error["error"]["type"]) == (status, type)


def test_an_index_that_is_missing(client):
    error = client.refusal(rrf(WORDS), "t-no-such-index")
    assert (error["status"], error["error"]["type"]) == (404, "index_not_found_exception")


def test_a_provider_that_refuses_the_text_of_a_query(client):
    leaf = {"standard": {"query": {"semantic": {"field": "body", "query": "BOOM"}}}}
    assert client.refusal(rrf(leaf))["status"] == 400
