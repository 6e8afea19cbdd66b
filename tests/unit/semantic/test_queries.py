"""What queries on semantic fields become: the shapes that people send."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import EndpointNotFound, IllegalArgument, ProxyError
from proxy.inference.endpoints import TaskType
from proxy.semantic.modelsettings import SparseModel
from proxy.semantic.prefilters import Scope
from proxy.semantic.queries import Known, Rewriter
from proxy.semantic.searching import rewritten
from proxy.semantic.vectors import Embedded, Vectors, Wanted
from tests.unit.semantic.targets import Rewriting, known, semantic_field, target

FIRST: Final = [1.0, 0.0, 0.0]
SECOND: Final = [0.0, 1.0, 0.0]
BODY: Final = semantic_field()


def knn(vector: Any = FIRST, path: str = "body", k: int = 10, **more: Any) -> Any:
    return {
        "knn": {
            "field": f"xinf.{path}.chunks.embeddings",
            "query_vector": vector,
            "k": k,
            "num_candidates": 100,
            **more,
        }
    }


def nested(query: Any, path: str = "body", **own: Any) -> Any:
    return {
        "nested": {
            "path": f"xinf.{path}.chunks",
            "score_mode": "max",
            "ignore_unmapped": True,
            "query": query,
            **own,
        }
    }


def near(vector: Any = FIRST, path: str = "body", k: int = 10, filter: Any = None) -> Any:
    more = {} if filter is None else {"filter": filter}
    return nested(knn(vector, path, k, **more), path)


def made(query: Any, to: Any = None, **more: Any) -> Any:
    rewriting = Rewriting(to or target(BODY), **more)
    rewriter = rewriting.rewriter(lambda asking: asking.query(query, Scope(10)))
    return rewriter.query(query, Scope(10))


def searched(body: Any, to: Any = None) -> Any:
    rewriting = Rewriting(to or target(BODY))
    return rewritten(body, rewriting.rewriter(lambda asking: rewritten(body, asking)))


SEMANTIC: Final = {"semantic": {"field": "body", "query": "one"}}
MATCH: Final = {"match": {"body": "one"}}
TERM: Final = {"term": {"team": "b"}}


@pytest.mark.parametrize(
    "query",
    [
        {"match_all": {}},
        {"match": {"title": "one"}},
        {"term": {"title": "one"}},
        {"knn": {"field": "vec", "query_vector": [1]}},
        {"exists": {"field": "title"}},
        {"multi_match": {"query": "one", "fields": ["title^2", "bod*"]}},
        {"bool": {"must": {"match": {"title": "one"}}, "filter": [TERM]}},
        {"unknown": {"field": "body"}},
        {"match": {"body": {}}},
        {"bool": "wrong"},
        "wrong",
        {},
    ],
)
def test_what_is_about_nothing_of_ours_stays(query):
    assert made(query) == query


@pytest.mark.parametrize(
    ("query", "own"),
    [
        (SEMANTIC, {}),
        (MATCH, {}),
        ({"match": {"body": {"query": "one"}}}, {}),
        ({"match": {"body": {"query": "one", "operator": "and", "boost": 2}}}, {"boost": 2}),
        (
            {"semantic": {**SEMANTIC["semantic"], "boost": 3, "_name": "x"}},
            {"boost": 3, "_name": "x"},
        ),
    ],
)
def test_a_text_becomes_a_search_among_vectors(query, own):
    assert made(query) == nested(knn(), **own)


def test_numbers_are_texts():
    rewriter = Rewriter(target(BODY), None)
    rewriter.query({"match": {"body": {"query": 1.5}}}, Scope(10))
    rewriter.query({"match": {"body": True}}, Scope(10))
    assert [one.text for one in rewriter.wanted] == ["1.5", "true"]


@pytest.mark.parametrize(
    ("body", "k"),
    [({}, 10), ({"size": 0}, 10), ({"size": -1}, 10), ({"size": 30}, 30), ({"size": "x"}, 10)],
)
def test_as_many_as_are_wanted_and_ten_at_least(body, k):
    answer = searched({"query": SEMANTIC, **body})["query"]["nested"]["query"]["knn"]
    assert (answer["k"], answer["num_candidates"]) == (k, 100)


# --- filters


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ({"bool": {"must": SEMANTIC, "filter": TERM}}, [TERM]),
        ({"bool": {"must": [SEMANTIC, TERM]}}, [TERM]),
        ({"bool": {"should": [SEMANTIC], "must": [TERM]}}, [TERM]),
        ({"bool": {"must": [SEMANTIC], "must_not": TERM}}, [{"bool": {"must_not": [TERM]}}]),
        ({"bool": {"must": [{"bool": {"must": SEMANTIC}}], "filter": TERM}}, [TERM]),
        ({"bool": {"filter": [TERM, {"dis_max": {"queries": [SEMANTIC]}}]}}, [TERM]),
        ({"bool": {"filter": [TERM, {"constant_score": {"filter": SEMANTIC}}]}}, [TERM]),
        ({"bool": {"must": SEMANTIC, "should": TERM}}, None),
        ({"bool": {"must": [SEMANTIC, MATCH]}}, None),
        ({"bool": {"must": SEMANTIC, "filter": {"exists": {"field": "body"}}}}, None),
        ({"bool": {"must": SEMANTIC, "filter": {"exists": {"field": "b*"}}}}, None),
        ({"bool": {"must": SEMANTIC, "filter": {"exists": {"field": "*"}}}}, None),
        ({"bool": {"must": SEMANTIC, "filter": {"nested": {"path": "x", "query": TERM}}}}, None),
        (
            {"bool": {"must": SEMANTIC, "filter": {"bool": {"must": [MATCH, TERM]}}}},
            [{"bool": {"must": [TERM]}}],
        ),
        (
            {
                "bool": {
                    "must": SEMANTIC,
                    "filter": {"boosting": {"positive": TERM, "negative": MATCH}},
                }
            },
            [TERM],
        ),
    ],
)
def test_what_has_to_hold_is_a_filter_of_the_search(query, filters):
    found = [one.get("filter") for one in _searches(made(query))]
    assert filters in found


def _searches(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [one for each in value for one in _searches(each)]
    if not isinstance(value, dict):
        return []
    own = [value["knn"]] if "knn" in value else []
    return own + [one for key, each in value.items() if key != "knn" for one in _searches(each)]


def test_the_clauses_themselves_stay():
    query = {"bool": {"must": [SEMANTIC], "filter": [TERM], "boost": 2}}
    assert made(query) == {"bool": {"must": [near(filter=[TERM])], "filter": [TERM], "boost": 2}}


def test_a_vector_search_of_the_users_own_has_its_own_filter_only():
    own = {"field": "body", "query_vector": SECOND, "k": 3, "num_candidates": 20}
    query = {"bool": {"must": {"knn": own}, "filter": TERM}}
    assert "filter" not in made(query)["bool"]["must"]["nested"]["query"]["knn"]
    filtered = made({"knn": {**own, "filter": [TERM, MATCH]}})
    assert filtered["nested"]["query"]["knn"]["filter"] == [TERM, near()]


# --- several indices


def test_another_index_is_searched_for_the_words():
    assert made(MATCH, target(BODY, others=True)) == {
        "bool": {
            "should": [
                near(),
                {
                    "bool": {
                        "filter": [{"bool": {"must_not": [{"terms": {"_index": ["a"]}}]}}],
                        "must": [MATCH],
                    }
                },
            ]
        }
    }


def test_an_index_whose_other_fields_are_semantic_is_another_one_too():
    both = target(BODY, b=[semantic_field("title")])
    assert made(MATCH, both)["bool"]["should"][1]["bool"]["must"] == [MATCH]


def test_each_endpoint_searches_its_own_indices():
    both = target(BODY, b=[BODY], c=[semantic_field(endpoint="f")])
    assert made(SEMANTIC, both) == {
        "bool": {
            "should": [
                {"bool": {"filter": [{"terms": {"_index": ["a", "b"]}}], "must": [near()]}},
                {"bool": {"filter": [{"terms": {"_index": ["c"]}}], "must": [near(SECOND)]}},
            ]
        }
    }


def test_the_endpoint_of_searches():
    rewriting = Rewriting(target(semantic_field(definition={"search_inference_id": "s"})))
    rewriting.rewriter(lambda asking: asking.query(SEMANTIC, Scope(10)))
    assert rewriting.wanted == [("s", "one")]


def test_fields_of_other_types():
    rewriter = Rewriter(target(BODY, others=True), None)
    rewriter.query(SEMANTIC, Scope(10))
    assert list(rewriter.unclear) == ["body"]
    types = {"body": {"a": "text", "b": "text", "c": "semantic_text"}}
    refused, native = made(SEMANTIC, target(BODY, others=True), types=types)["bool"]["should"][1:]
    assert refused["bool"]["filter"] == [{"terms": {"_index": ["b"]}}]
    assert "Field [body] of type [text] does not support" in str(refused["bool"]["must"])
    assert native["bool"] == {"filter": [{"terms": {"_index": ["c"]}}], "must": [SEMANTIC]}
    lenient = {"semantic": {**SEMANTIC["semantic"], "lenient": True}}
    assert made(lenient, target(BODY, others=True), types={"body": {"b": "text"}}) == near()


def test_what_a_field_does_not_take_is_refused_wherever_a_query_names_it():
    feature = {"origin": "now", "pivot": "1d"}
    for query in (
        {"term": {"body": "x"}},
        {"combined_fields": {"query": "x", "fields": ["title", "body^2"]}},
        {"distance_feature": {"field": "body", **feature}},
    ):
        assert "[semantic_text]" in str(made(query)) or "semantic_text fields" in str(made(query))
    for plain in ({"term": {"field": "body"}}, {"distance_feature": {"field": "day", **feature}}):
        assert made(plain) == plain


def test_a_field_without_vectors_finds_nothing():
    rewriting = Rewriting(target(semantic_field(model=None)))
    rewriter = rewriting.rewriter(lambda asking: asking.query(SEMANTIC, Scope(10)))
    assert rewriter.query(SEMANTIC, Scope(10)) == {"match_none": {}}
    assert rewriting.wanted == [("e", "one")]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Embedded([1.0]), "with 3 dimensions, got 1 dimensions."),
        (
            Embedded({}, TaskType.SPARSE_EMBEDDING),
            "to be of type [text_embedding_result], got [text_expansion_result].",
        ),
    ],
)
def test_vectors_that_do_not_fit(found, reason):
    rewriter = Rewriter(target(BODY), known({("e", "one"): found}))
    refused = str(rewriter.query(SEMANTIC, Scope(10)))
    assert f"Field [body] expected query inference results {reason} Has the conf" in refused


# --- vector searches


BUILD: Final = {"text_embedding": {"model_text": "one"}}


def built(**more: Any) -> Any:
    return {"field": "body", "query_vector_builder": BUILD, **more}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (built(), knn()),
        (built(k=3), knn(k=3)),
        (built(num_candidates=5), knn(k=5, num_candidates=10)),
        (built(k=3, num_candidates=3, filter=TERM), knn(k=3, num_candidates=10, filter=TERM)),
        (built(k=9, num_candidates=3), knn(k=9, num_candidates=3)),
        (built(field="body.inference.chunks.embeddings"), knn()),
        (built(similarity=0.5, rescore_vector={}), knn(similarity=0.5, rescore_vector={})),
    ],
)
def test_vector_searches(own, expected):
    assert made({"knn": own}) == nested(expected)


def test_names_and_boosts_go_to_the_outer_query():
    assert made({"knn": built(boost=2, _name="x")}) == nested(knn(), boost=2, _name="x")


def test_the_users_own_vectors():
    own = {"field": "vec", "k": 5, "num_candidates": 50}
    build = {"text_embedding": {"model_id": "m", "model_text": "one"}}
    assert made({"knn": {**own, "query_vector_builder": build}}, target()) == {
        "knn": {**own, "query_vector": FIRST}
    }
    newer = {"embedding": {"inference_id": "m", "input": "one"}}
    assert made({"knn": {**own, "query_vector_builder": newer}}, target()) == {
        "knn": {**own, "query_vector": FIRST}
    }
    lookup = {"knn": {**own, "query_vector_builder": {"lookup": {"id": "1"}}}}
    assert made(lookup, target()) == lookup


# --- searches for tokens


SPARSE: Final = semantic_field(model=SparseModel())
TOKENS: Final = {"sea": 0.5}
OTHER_TASK: Final = "Field [body] does not use a [%s] model"


def of_tokens(query: Any, to: Any = None) -> Any:
    """What a query becomes where the endpoints `e` and `m` make TOKENS of its text."""
    made = Embedded(TOKENS, TaskType.SPARSE_EMBEDDING)
    texts = known({(one, "one"): made for one in "em"})
    return Rewriter(to or target(SPARSE), texts).query(query, Scope(10))


def tokens(path: str = "xinf.body.chunks.embeddings", **more: Any) -> Any:
    return {"sparse_vector": {**more, "field": path, "query_vector": TOKENS}}


@pytest.mark.parametrize(
    "query",
    [
        SEMANTIC,
        MATCH,
        {"sparse_vector": {"field": "body", "query": "one"}},
        {"sparse_vector": {"field": "body", "query": "one", "inference_id": "m"}},
        {"sparse_vector": {"field": "body", "query_vector": TOKENS}},
        {
            "sparse_vector": {
                "field": "body.inference.chunks.embeddings",
                "query": "one",
                "inference_id": "m",
            }
        },
    ],
)
def test_searches_for_tokens(query):
    assert of_tokens(query) == nested(tokens())
    within = {"bool": {"must": [query], "filter": [TERM]}}
    assert of_tokens(within) == {"bool": {"must": [nested(tokens())], "filter": [TERM]}}


def test_options_go_to_the_inner_query_and_names_to_the_outer_one():
    own = {"field": "body", "query": "one", "prune": True, "boost": 2, "_name": "x"}
    assert of_tokens({"sparse_vector": own}) == nested(tokens(prune=True), boost=2, _name="x")


def test_tokens_among_the_chunks_themselves():
    path = "body.inference.chunks"
    inner = {"sparse_vector": {"field": f"{path}.embeddings", "query_vector": TOKENS, "boost": 2}}
    found = of_tokens({"nested": {"path": path, "query": inner}})
    assert found == {"nested": {"path": "xinf.body.chunks", "query": tokens(boost=2)}}


def test_tokens_in_fields_that_are_not_semantic_elsewhere():
    query = {"sparse_vector": {"field": "body", "query": "one", "inference_id": "m"}}
    ours, others = of_tokens(query, target(SPARSE, others=True))["bool"]["should"]
    assert ours == nested(tokens())
    assert others["bool"]["must"] == [tokens("body")]


def test_tokens_in_fields_of_the_users_own():
    own = {"field": "own", "query": "one", "prune": True, "boost": 2, "_name": "x"}
    query = {"sparse_vector": {**own, "inference_id": "m"}}
    wanted = tokens("own", prune=True, boost=2, _name="x")
    for to in (target(), target(SPARSE)):
        assert of_tokens({"bool": {"must": query}}, to) == {"bool": {"must": wanted}}


def test_tokens_of_an_endpoint_that_is_not_ours():
    query = {"sparse_vector": {"field": "own", "query": "one", "inference_id": "theirs"}}
    missing: dict[Wanted, ProxyError] = {Wanted("theirs", "one"): EndpointNotFound("theirs")}
    found = Known(vectors=Vectors(failed=missing))
    assert Rewriter(target(), found).query(query, Scope(10)) == query


def test_each_index_is_searched_for_what_its_field_has():
    both = target(SPARSE, b=[semantic_field(endpoint="d")])
    texts = {
        ("e", "one"): Embedded(TOKENS, TaskType.SPARSE_EMBEDDING),
        ("d", "one"): Embedded(FIRST),
    }
    found = Rewriter(both, known(texts)).query(SEMANTIC, Scope(10))["bool"]["should"]
    assert [one["bool"]["must"] for one in found] == [[nested(tokens())], [near()]]


def test_fields_of_the_other_kind_are_refused():
    both = target(SPARSE, b=[BODY])
    given = {"sparse_vector": {"field": "body", "query_vector": TOKENS}}
    ours, refused = of_tokens(given, both)["bool"]["should"]
    assert ours["bool"] == {"filter": [{"terms": {"_index": ["a"]}}], "must": [nested(tokens())]}
    assert refused["bool"]["filter"] == [{"terms": {"_index": ["b"]}}]
    assert OTHER_TASK % "sparse_embedding" in str(refused["bool"]["must"])
    own = {"field": "body", "query_vector": FIRST, "k": 1}
    ours, refused = of_tokens({"knn": own}, both)["bool"]["should"]
    assert ours["bool"]["filter"] == [{"terms": {"_index": ["b"]}}]
    assert OTHER_TASK % "text_embedding" in str(refused["bool"]["must"])
    with pytest.raises(IllegalArgument, match="does not use a"):
        rewritten({"knn": own}, Rewriter(both, known({})))


def test_fields_of_the_other_kind_that_hold_nothing_find_nothing():
    empty = semantic_field(model=SparseModel(), seen=False)
    own = {"field": "body", "query_vector": FIRST, "k": 1}
    assert of_tokens({"knn": own}, target(empty)) == {"match_none": {}}
    found = of_tokens({"knn": own}, target(empty, b=[BODY]))
    assert found["bool"]["filter"] == [{"terms": {"_index": ["b"]}}]
    rewriter = Rewriter(target(empty), known({}))
    for sections in (own, [own]):
        assert rewritten({"knn": sections}, rewriter) == {"query": {"match_none": {}}}
    assert rewritten({"knn": []}, rewriter) == {"knn": []}
    (section,) = rewritten({"knn": [own]}, Rewriter(target(empty, b=[BODY]), known({})))["knn"]
    assert section["filter"] == [{"terms": {"_index": ["b"]}}]
    retriever = rewritten({"retriever": {"knn": own}}, rewriter)["retriever"]
    assert retriever == {"standard": {"query": {"match_none": {}}}}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"query": 1},
        {"query": "one", "query_vector": TOKENS},
        {"inference_id": "m", "query_vector": TOKENS},
        {"query": "one", "inference_id": 1},
    ],
)
def test_what_is_none_is_the_upstreams_to_refuse(own):
    query = {"sparse_vector": {"field": "body", **own}}
    assert of_tokens(query) == query


@pytest.mark.parametrize(
    ("query", "to", "reason"),
    [
        ({"knn": built(field="vec")}, target(BODY), "[model_id] must be specified"),
        ({"knn": built()}, target(BODY, others=True), "[model_id] must not be null."),
        (
            {"knn": built(query_vector=[1])},
            target(BODY),
            "only one of [query_vector] and [query_vector_builder] must be provided",
        ),
        ({"semantic": {"field": "body"}}, target(BODY), "[semantic] requires a query value"),
        (
            {"sparse_vector": {"field": "body", "query": "x"}},
            target(BODY, others=True),
            "inference_id required to perform vector search on query string",
        ),
        (
            {"sparse_vector": {"field": "body.inference.chunks.embeddings", "query": "x"}},
            target(BODY),
            "inference_id required to perform vector search on query string",
        ),
    ],
)
def test_what_is_wrong_is_said(query, to, reason):
    with pytest.raises(IllegalArgument) as refused:
        made(query, to)
    assert refused.value.reason == reason


def test_unknown_options_are_wrong():
    with pytest.raises(ProxyError, match="unknown field"):
        made({"semantic": {**SEMANTIC["semantic"], "inner_hits": {}}})


def test_too_many_levels():
    query: Any = SEMANTIC
    for _ in range(120):
        query = {"bool": {"must": query}}
    with pytest.raises(IllegalArgument, match="nested depth"):
        made(query)


def test_sections_of_a_search():
    plain = {"field": "vec", "query_vector": [1.0], "k": 1, "num_candidates": 10}
    section = {**knn()["knn"], "boost": 2}
    del section["k"], section["num_candidates"]
    assert searched({"knn": built(boost=2)})["knn"] == section
    assert searched({"knn": [built(boost=2), plain]})["knn"] == [section, plain]
    both = target(BODY, c=[semantic_field(endpoint="f")])
    first, second = searched({"knn": built()}, both)["knn"]
    assert first["filter"] == [{"terms": {"_index": ["a"]}}]
    assert second["filter"] == [{"terms": {"_index": ["c"]}}]
    assert second["query_vector"] == SECOND


def test_retrievers():
    leaf = {"standard": {"query": SEMANTIC, "filter": [TERM]}}
    tree = {"rrf": {"rank_window_size": 50, "retrievers": [leaf, {"knn": built(k=5)}]}}
    made = searched({"retriever": tree})["retriever"]["rrf"]["retrievers"]
    assert made[0]["standard"] == {"query": near(k=50, filter=[TERM]), "filter": [TERM]}
    assert made[1]["knn"]["field"] == "xinf.body.chunks.embeddings"
    child = {"retriever": {"standard": {"query": SEMANTIC}}, "rank_window_size": 3}
    made = searched({"retriever": {"text_similarity_reranker": child}})["retriever"]
    assert made["text_similarity_reranker"]["retriever"]["standard"]["query"] == near()


# --- Elasticsearch's own paths


def test_native_paths():
    path = "body.inference.chunks"
    query = {
        "nested": {
            "path": path,
            "query": {"bool": {"must": [{"knn": built(field=f"{path}.embeddings")}]}},
            "inner_hits": {"size": 3},
        }
    }
    answer = made(query)["nested"]
    assert answer["path"] == "xinf.body.chunks"
    assert answer["query"] == {"bool": {"must": [knn()]}}
    assert answer["inner_hits"] == {"name": path, "size": 3}
    exists = {"exists": {"field": f"{path}.embeddings"}}
    assert made({"nested": {"path": path, "query": exists}})["nested"]["query"] == {
        "exists": {"field": "xinf.body.chunks.embeddings"}
    }


def test_exists():
    has = nested({"exists": {"field": "xinf.body.chunks.embeddings"}})
    exists = {"exists": {"field": "body"}}
    assert made(exists) == has
    assert made(exists, target(BODY, others=True)) == {"bool": {"should": [has, exists]}}
    both = {"exists": {"field": "m"}}
    inner = semantic_field("m.s")
    has_inner = nested({"exists": {"field": "xinf.m:s.chunks.embeddings"}}, "m:s")
    assert made(both, target(inner)) == {"bool": {"should": [has_inner, both]}}
