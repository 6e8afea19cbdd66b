"""Searches by meaning before a real Elasticsearch: what they find, with which scores, and when not.

The vectors are known, so scores are worked out here: (1 + cos) / 2 for the nearest chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import (
    Place,
    field,
    ids,
    place,
    scores,
    semantic,
)
from tests.support.meaning import vector
from tests.support.processes import Serve

TEXTS: Final = {
    "1": ["harbour pilot ships", "an oven"],
    "2": ["harbour baker"],
    "3": ["kneads gold lead"],
    "4": ["ships of the harbour, ships of gold"],
    "5": ["oven mango letter"],
}
QUERY: Final = "harbour pilot ships"
ALL: Final[dict[str, Any]] = {"match_all": {}}


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, "t-queries") as found:
        endpoint, small = found.endpoint("e"), found.endpoint("small", "/embed8")
        text, keyword = {"type": "text"}, {"type": "keyword"}
        documents = {key: {"body": texts, "team": "a"} for key, texts in TEXTS.items()}
        shared = {"team": keyword, "nick": {"type": "alias", "path": "body"}}
        found.index("a", documents, body=field(endpoint), **shared)
        found.index("text", {"t": {"body": QUERY, "team": "b"}}, body=text, team=keyword)
        found.index("none", {"n": {"team": "b"}}, team=keyword)
        found.index("small", {"s": {"body": QUERY, "team": "b"}}, body=field(small), **shared)
        near = {str(n): {"body": QUERY, "team": "a"} for n in range(15)}
        far = {"far": {"body": "gold", "team": "b"}, "also": {"body": "lead", "team": "b"}}
        found.index("many", {**near, **far}, body=field(endpoint), other=field(small), **shared)
        yield found


def nearness(query: str, texts: list[str]) -> float:
    wanted = vector(query)
    return max(
        (1 + sum(a * b for a, b in zip(wanted, vector(text), strict=True))) / 2 for text in texts
    )


def expected(query: str, texts: dict[str, list[str]] = TEXTS) -> Any:
    return pytest.approx({key: nearness(query, one) for key, one in texts.items()}, abs=1e-6)


# --- scores


QUERIES: Final[dict[str, Any]] = {
    "semantic": semantic(QUERY),
    "match": {"match": {"body": QUERY}},
    "long match": {"match": {"body": {"query": QUERY, "operator": "and", "fuzziness": "AUTO"}}},
    "alias": {"match": {"nick": QUERY}},
    "knn": {
        "knn": {
            "field": "body",
            "query_vector_builder": {"text_embedding": {"model_text": QUERY}},
        }
    },
    "knn by vector": {"knn": {"field": "body", "k": 5, "query_vector": vector(QUERY)}},
    "native": {
        "nested": {
            "path": "body.inference.chunks",
            "score_mode": "max",
            "query": {
                "knn": {
                    "field": "body.inference.chunks.embeddings",
                    "k": 10,
                    "query_vector": vector(QUERY),
                }
            },
        }
    },
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_document_scores_as_its_nearest_chunk(here, name):
    answer = here.search("a", QUERIES[name])
    assert scores(answer) == expected(QUERY)
    assert ids(answer) == sorted(TEXTS, key=lambda key: -nearness(QUERY, TEXTS[key]))


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("similarity", ["cosine", "dot_product", "l2_norm"])
def test_similarities(here, kind, similarity):
    endpoint = here.endpoint(f"similar-{similarity}", similarity=similarity)
    options = {"dense_vector": {"type": kind}}
    documents = {key: {"body": texts} for key, texts in TEXTS.items()}
    here.index("similar", documents, body=field(endpoint, index_options=options))

    def score(text: str) -> float:
        if similarity == "l2_norm":
            return 1 / (1 + math.dist(vector(QUERY), vector(text)) ** 2)
        return nearness(QUERY, [text])

    wanted = {key: max(map(score, texts)) for key, texts in TEXTS.items()}
    assert scores(here.search("similar", semantic(QUERY))) == pytest.approx(wanted, abs=1e-6)


def test_boost_and_name(here):
    answer = here.search("a", semantic(QUERY, boost=3.0, _name="mine"))
    assert answer["hits"]["max_score"] == pytest.approx(3.0, abs=1e-5)
    assert answer["hits"]["hits"][0]["matched_queries"] == ["mine"]


@pytest.mark.parametrize(
    "body",
    [
        {"knn": QUERIES["knn"]["knn"]},
        {"knn": [QUERIES["knn"]["knn"]]},
        {"retriever": QUERIES["knn"]},
        {"retriever": {"knn": {**QUERIES["knn"]["knn"], "k": 10, "num_candidates": 20}}},
        {"retriever": {"standard": {"query": semantic(QUERY)}}},
        {
            "knn": {
                "field": "body.inference.chunks.embeddings",
                "k": 10,
                "num_candidates": 20,
                "query_vector": vector(QUERY),
            }
        },
    ],
)
def test_sections_and_retrievers(here, body):
    if isinstance(knn := body.get("retriever", {}).get("knn"), dict) and "k" not in knn:
        body = {"retriever": {"knn": {**knn, "k": 10, "num_candidates": 10}}}
    assert scores(here.search("a", **body)) == expected(QUERY)


@pytest.mark.parametrize("others", ["none", "vectors", "none,vectors", "e2"])
def test_sections_and_retrievers_among_indices_of_other_kinds(here, others):
    vectors = {"type": "dense_vector", "dims": 16}
    here.index("vectors", {"v": {"body": vector("gold")}}, body=vectors)
    here.index("e2", {"x": {"body": "gold"}}, body=field(here.endpoint("e2")))
    knn = {"field": "body", "k": 10, "num_candidates": 20, "query_vector": vector("gold")}
    wanted = {*TEXTS, *({"v"} if "vectors" in others else {"x"} if others == "e2" else ())}
    builder = {"text_embedding": {"model_text": "gold", "model_id": here.name("e")}}
    by_text = {**knn, "query_vector_builder": builder}
    del by_text["query_vector"]
    for one in (knn, by_text):
        rrf = {"retrievers": [{"knn": one}, {"standard": {"query": ALL}}], "rank_constant": 1}
        for body in ({"knn": one}, {"retriever": {"knn": one}}):
            found = here.search(f"a,{others}", **body)
            assert found["_shards"]["failed"] == 0
            assert set(ids(found)) == wanted
        assert wanted <= set(ids(here.search(f"a,{others}", retriever={"rrf": rrf})))
        both = here.search(f"a,{others}", {"term": {"team": "b"}}, knn=[one])
        assert both["_shards"]["failed"] == 0
        assert set(ids(both)) == wanted | ({"n"} if "none" in others else set())


def test_a_retriever_searches_with_the_endpoint_of_each_field(here):
    here.index("e2", {"x": {"body": "gold"}}, body=field(here.endpoint("e2")))
    builder = {"text_embedding": {"model_text": "gold"}}
    knn = {"field": "body", "k": 10, "num_candidates": 20, "query_vector_builder": builder}
    for body in ({"query": {"knn": knn}}, {"knn": knn}, {"retriever": {"knn": knn}}):
        assert set(ids(here.search("a,e2", **body))) == {*TEXTS, "x"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"k": 30}, "[num_candidates] cannot be less than [k]"),
        ({"k": 0}, "[k] must be greater than 0"),
        ({"odd": 1}, "[knn] unknown field [odd]"),
    ],
)
def test_sections_that_are_wrong_are_refused_as_such(here, more, reason):
    knn = {"field": "body", "k": 10, "num_candidates": 20, "query_vector": vector("gold"), **more}
    for short in ("a", "a,none"):
        status, document = here.ask(short, knn=knn)
        assert status == 400
        assert document["error"]["reason"].endswith(reason)


def test_retrievers_at_a_point_in_time_search_its_indices_only(here):
    opened = here.client("POST", f"/{here.name('a')}/_pit?keep_alive=1m").document["id"]
    builder = {"text_embedding": {"model_text": QUERY}}
    knn = {"field": "body", "k": 10, "num_candidates": 20, "query_vector_builder": builder}
    rrf = {"retrievers": [{"knn": knn}, {"standard": {"query": semantic(QUERY)}}]}
    for retriever in ({"knn": knn}, {"rrf": rrf}):
        status, document = here.post("/_search", {"retriever": retriever, "pit": {"id": opened}})
        assert status == 200, document
        assert set(ids(document)) == set(TEXTS)
    here.client("DELETE", "/_pit", {"id": opened})


# --- how many, and which


def test_a_search_finds_as_many_as_it_wants_and_ten_at_least(here):
    assert here.search("many", semantic(QUERY), size=3)["hits"]["total"]["value"] == 10
    assert here.search("many", semantic(QUERY), size=12)["hits"]["total"]["value"] == 12
    assert here.search("many", semantic(QUERY), size=0)["hits"]["total"]["value"] == 10
    assert ids(here.search("many", semantic(QUERY), **{"from": 10})) == []
    in_url = here.post(f"/{here.name('many')}/_search?size=14", {"query": semantic(QUERY)})
    assert len(ids(in_url[1])) == 14


def in_team_b(*clauses: Any) -> Any:
    return {"bool": {"must": list(clauses), "filter": {"term": {"team": "b"}}}}


@pytest.mark.parametrize(
    "query",
    [
        in_team_b(semantic(QUERY)),
        in_team_b({"match": {"body": QUERY}}),
        {"bool": {"must": [semantic(QUERY), {"term": {"team": "b"}}]}},
        {"bool": {"must": semantic(QUERY), "must_not": {"term": {"team": "a"}}}},
        in_team_b({"bool": {"should": [semantic(QUERY)]}}),
        in_team_b({"constant_score": {"filter": semantic(QUERY)}}),
        in_team_b(semantic(QUERY), {"bool": {"must": [{"exists": {"field": "body"}}]}}),
        in_team_b(semantic(QUERY), {"exists": {"field": "bo*"}}),
        in_team_b(semantic(QUERY), {"bool": {"must_not": {"exists": {"field": "other"}}}}),
        in_team_b({"knn": {**QUERIES["knn by vector"]["knn"], "filter": {"term": {"team": "b"}}}}),
    ],
)
def test_what_must_hold_narrows_the_search_itself(here, query):
    """Of the ten nearest documents, none is of team b."""
    assert sorted(ids(here.search("many", query))) == ["also", "far"]


def test_what_should_hold_does_not_narrow_it(here):
    query = {"bool": {"must": semantic(QUERY), "should": {"term": {"team": "b"}}}}
    assert "far" not in ids(here.search("many", query))


def test_filters_by_meaning_do_not_narrow_each_other(here):
    query = {"bool": {"must": semantic(QUERY), "filter": semantic("gold")}}
    assert here.ask("many", query)[0] == 200


def test_filters_of_retrievers_narrow(here):
    retriever = {"standard": {"query": semantic(QUERY), "filter": {"term": {"team": "b"}}}}
    assert sorted(ids(here.search("many", retriever=retriever))) == ["also", "far"]


def test_a_field_without_vectors_finds_nothing(here):
    here.index("empty", {}, body=field(here.name("e")))
    assert ids(here.search("empty", semantic(QUERY))) == []
    assert ids(here.search("many", semantic(QUERY, "other"))) == []
    assert ids(here.search("none", semantic(QUERY))) == []


def test_exists(here):
    here.index(
        "some", {"1": {"body": "x"}, "2": {"body": " "}, "3": {}}, body=field(here.name("e"))
    )
    assert ids(here.search("some", {"exists": {"field": "body"}})) == ["1"]
    assert ids(here.search("some", {"exists": {"field": "b*"}})) == ["1"]
    found = here.search("some,text", {"exists": {"field": "body"}})
    assert sorted(ids(found)) == ["1", "t"]


# --- several indices


def test_a_field_that_is_semantic_in_one_index_and_text_in_another(here):
    found = scores(here.search("a,text", {"match": {"body": QUERY}}))
    assert found.pop("t") > 0
    assert found == expected(QUERY)


def test_each_index_is_searched_with_its_own_endpoint(here):
    with here.embedding() as calls:
        found = scores(here.search("a,small", semantic(QUERY)))
    assert calls == [[QUERY], [QUERY]]
    assert found.pop("s") == pytest.approx(1.0)
    assert found == expected(QUERY)


def test_the_endpoint_for_searches(here):
    other = here.endpoint("other")
    options = field(here.name("small"), search_inference_id=other)
    here.index("misfit", {"1": {"body": QUERY}}, body=options)
    status, document = here.ask("misfit", semantic(QUERY))
    assert status == 400
    assert document["error"]["caused_by"]["reason"] == (
        "Field [body] expected query inference results with 8 dimensions, got 16 dimensions. "
        f"Is the search inference endpoint [{other}] compatible with the inference endpoint "
        f"[{here.name('small')}]?"
    )
    here.index("fit", {"1": {"body": QUERY}}, body=field(here.name("e"), search_inference_id=other))
    assert scores(here.search("fit", semantic(QUERY))) == {"1": pytest.approx(1.0)}


def test_vectors_of_the_users_own(here):
    properties = {"vec": {"type": "dense_vector", "dims": 16, "index_options": {"type": "hnsw"}}}
    here.index("own", {key: {"vec": vector(one[0])} for key, one in TEXTS.items()}, **properties)
    build = {"text_embedding": {"model_id": here.name("e"), "model_text": QUERY}}
    knn = {"field": "vec", "k": 5, "num_candidates": 10, "query_vector_builder": build}
    wanted = expected(QUERY, {key: texts[:1] for key, texts in TEXTS.items()})
    for body in ({"query": {"knn": knn}}, {"knn": knn}, {"retriever": {"knn": knn}}):
        assert scores(here.search("own", **body)) == wanted


# --- texts are embedded once


def test_a_request_embeds_each_text_once(here):
    bodies = [semantic(QUERY), semantic("gold"), {"match": {"body": QUERY}}, semantic(QUERY)]
    lines = b"".join(
        b'{"index":"%b"}\n%b\n' % (here.name("a").encode(), orjson.dumps({"query": body}))
        for body in bodies * 25
    )
    with here.embedding() as calls:
        status, document = here.post("/_msearch", lines)
    assert status == 200
    assert calls == [["gold", QUERY]]
    assert [scores(one) for one in document["responses"][:2]] == [
        expected(QUERY),
        expected("gold"),
    ]


def test_searches_fail_one_by_one(here):
    here.index("gone", {}, body={"type": "semantic_text", "inference_id": "t-queries-none"})
    pairs = [("a", semantic(QUERY)), ("gone", semantic(QUERY)), ("text", semantic(QUERY))]
    lines = b"".join(
        b'{"index":"%b"}\n%b\n' % (here.name(short).encode(), orjson.dumps({"query": query}))
        for short, query in [*pairs, ("a", ALL)]
    )
    status, document = here.post("/_msearch", lines)
    assert status == 200
    assert [one["status"] for one in document["responses"]] == [200, 404, 400, 200]
    assert document["responses"][1]["error"]["reason"] == (
        "Inference endpoint not found [t-queries-none]"
    )
    assert "_source" in document["responses"][3]["hits"]["hits"][0]


def test_a_search_waits_for_vectors_no_longer_than_it_may(here):
    status, document = here.ask("a", semantic("SLOW"), timeout="100ms")
    assert status == 429
    assert document["error"]["type"] == "timeout_exception"


# --- errors


def shard_error(document: Any) -> Any:
    error = document["error"]
    assert error["type"] == "search_phase_execution_exception"
    return str(error["root_cause"][0]["reason"])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"term": {"body": "x"}}, "semantic_text fields do not support term query"),
        ({"terms": {"body": ["x"]}}, "semantic_text fields do not support term query"),
        (
            {"prefix": {"body": "x"}},
            "Can only use prefix queries on keyword, text and wildcard fields - not on [body] "
            "which is of type [semantic_text]",
        ),
        (
            {"match_phrase": {"body": "x"}},
            "Field [body] of type [semantic_text] does not support match_phrase queries",
        ),
        (
            {"multi_match": {"query": "x", "fields": ["team", "body^2"]}},
            "Field [body] of type [semantic_text] does not support match queries",
        ),
        (
            {"multi_match": {"query": "x", "type": "phrase", "fields": ["body"]}},
            "Field [body] of type [semantic_text] does not support match_phrase queries",
        ),
        (
            {"simple_query_string": {"query": "x", "fields": ["body"]}},
            "Field [body] of type [semantic_text] does not support match queries",
        ),
        (
            {"distance_feature": {"field": "body", "origin": "now", "pivot": "1d"}},
            "Illegal data type of [semantic_text]![distance_feature] query can only be run on a "
            "date, date_nanos or geo_point field type!",
        ),
    ],
)
def test_queries_that_semantic_fields_do_not_take(here, query, reason):
    status, document = here.ask("a", query)
    assert status == document["status"] == 400
    assert shard_error(document) == f"failed to create query: {reason}"
    failed = document["error"]["failed_shards"][0]["reason"]
    assert failed["caused_by"] == {"type": "illegal_argument_exception", "reason": reason}
    status, document = here.ask("a,none", query)
    assert status == 200  # the other index has an answer
    assert document["_shards"]["failed"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"multi_match": {"query": "gold", "fields": ["bo*", "team"]}},
        {"multi_match": {"query": "gold"}},
        {"multi_match": {"query": "gold", "fields": ["body"], "lenient": True}},
        {"query_string": {"query": "gold"}},
    ],
)
def test_words_pass_over_semantic_fields(here, query):
    assert ids(here.search("a", query)) == []


@pytest.mark.parametrize(
    "body", [{"sort": ["body"]}, {"aggs": {"x": {"terms": {"field": "body"}}}}]
)
def test_no_sorting_and_no_aggregating(here, body):
    status, document = here.ask("a", **body)
    assert status == 400
    assert shard_error(document) == (
        "[semantic_text] fields do not support sorting, scripting or aggregating"
    )


def test_fields_of_other_types(here):
    reason = "Field [body] of type [text] does not support semantic queries"
    status, document = here.ask("text", semantic(QUERY))
    assert status == 400
    assert shard_error(document) == reason
    assert document["error"]["root_cause"][0]["type"] == "illegal_argument_exception"
    assert document["error"]["caused_by"]["caused_by"]["reason"] == reason
    assert ids(here.search("text", semantic(QUERY, lenient=True))) == []
    both = here.search("a,text", semantic(QUERY))
    assert both["_shards"]["failures"][0]["reason"]["reason"] == reason
    assert scores(both) == expected(QUERY)


def test_sparse_vectors(here):
    query = {"sparse_vector": {"field": "body", "inference_id": here.name("e"), "query": "x"}}
    here.search("a", semantic(QUERY))  # the mapping says by now that there are vectors
    status, document = here.ask("a", query)
    if status == 200:  # the proxy has not looked at the mapping since its first document
        assert ids(document) == []
        return
    assert shard_error(document) == "Field [body] does not use a [sparse_embedding] model"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"semantic": {"field": "body"}}, "[semantic] requires a query value"),
        ({"semantic": {"query": "x"}}, "[semantic] requires a field value"),
        (semantic("x", inner_hits={}), "[semantic] unknown field [inner_hits]"),
    ],
)
def test_queries_that_are_wrong(here, query, reason):
    for short in ("a", "text"):
        status, document = here.ask(short, query)
        assert status == 400
        assert document["error"]["reason"] == reason


@pytest.mark.parametrize(
    ("build", "status", "reason"),
    [
        ({"model_text": "x"}, 400, "[model_id] must be specified"),
        (
            {"model_id": "no-such", "model_text": "x"},
            404,
            "[no-such] is not an inference service model or a deployed ml model",
        ),
    ],
)
def test_builders_that_are_wrong(here, build, status, reason):
    knn = {"field": "vec", "k": 2, "num_candidates": 10}
    knn["query_vector_builder"] = {"text_embedding": build}
    for body in ({"query": {"knn": knn}}, {"knn": knn}, {"retriever": {"knn": knn}}):
        answered, document = here.ask("none", **body)
        assert (answered, document["error"]["reason"]) == (status, reason)


def test_failures_of_the_provider_are_those_of_the_search(here):
    status, document = here.ask("a", semantic("BOOM"))
    assert status == 400
    assert "boom" in document["error"]["reason"]


def test_what_has_too_many_levels_is_refused(here):
    body = {"query": semantic(QUERY), "highlight": {"fields": {"team": {"highlight_query": 0}}}}
    deep = b'{"a":' * 800 + b"0" + b"}" * 800
    line = orjson.dumps(body).replace(b'"highlight_query":0', b'"highlight_query":' + deep)
    answer = here.client("POST", f"/{here.name('a')}/_msearch", b"{}\n" + line + b"\n")
    assert answer.status == 400
    assert answer.document["error"]["reason"] == "the request has too many levels"
