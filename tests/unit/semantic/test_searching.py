"""Every place of a search where a query may stand."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.prefilters import Scope
from proxy.semantic.queries import Known, Rewriter
from proxy.semantic.searching import rewritten, scope_of, with_highlight_queries
from proxy.semantic.vectors import Embedded, Vectors, Wanted
from tests.unit.semantic.targets import Rewriting, semantic_field, target

SEMANTIC: Final = {"semantic": {"field": "body", "query": "one"}}
PLAIN: Final = {"match": {"title": "one"}}


def searched(body: Any) -> Any:
    rewriting = Rewriting(target(semantic_field()))
    return rewritten(body, rewriting.rewriter(lambda asking: rewritten(body, asking)))


def put(place: str, query: Any) -> Any:
    """A search with a query at a path of names; a number is a place in a list of so many."""
    for name in reversed(place.split("/")):
        query = [{}] * int(name) + [query] if name.isdecimal() else {name: query}
    return query


@pytest.mark.parametrize(
    "place",
    [
        "query",
        "post_filter",
        "index_filter",
        "rescore/query/rescore_query",
        "rescore/0/query/rescore_query",
        "highlight/highlight_query",
        "highlight/fields/title/highlight_query",
        "highlight/fields/0/title/highlight_query",
        "aggs/x/filter",
        "aggregations/x/filters/filters/0",
        "aggs/x/filters/filters/y",
        "aggs/x/adjacency_matrix/filters/y",
        "aggs/x/significant_text/background_filter",
        "aggs/x/significant_terms/background_filter",
        "aggs/x/aggs/y/filter",
        "aggs/x/top_hits/highlight/highlight_query",
        "collapse/inner_hits/highlight/highlight_query",
        "retriever/standard/query",
        "retriever/standard/filter/0",
        "retriever/rrf/retrievers/0/standard/query",
        "retriever/linear/retrievers/0/retriever/standard/query",
        "retriever/text_similarity_reranker/retriever/standard/query",
        "retriever/rescorer/rescore/query/rescore_query",
    ],
)
def test_a_query_is_rewritten_wherever_it_stands(place: str):
    body = put(place, SEMANTIC)
    made = searched(body)
    assert "semantic" not in str(made)
    assert "xinf.body.chunks.embeddings" in str(made)
    assert searched(put(place, PLAIN)) == put(place, PLAIN)
    assert body == put(place, SEMANTIC)  # what was given is as it was


@pytest.mark.parametrize(
    "name",
    ["query", "knn", "rescore", "aggs", "retriever", "highlight", "fields", "collapse"],
)
@pytest.mark.parametrize("odd", [None, 1, "x", [], [1], {"a": 1}])
def test_what_is_none_is_left_to_the_upstream(name: str, odd: Any):
    assert searched({name: odd}) == {name: odd}


@pytest.mark.parametrize(("size", "k"), [(None, 10), (-1, 10), ("x", 10), (3, 10), (30, 30)])
def test_as_many_as_are_wanted_and_ten_at_least(size: Any, k: int):
    assert scope_of(size) == Scope(k)


def test_a_pattern_that_would_fail_at_fields_of_ours_is_spelled_out():
    rewriter = Rewriter(
        target(semantic_field()), Known(vectors=Vectors(), names={"x*": ["xar", "xaz"]})
    )
    body = {
        "docvalue_fields": ["x*", {"field": "x*", "format": "f"}, "title"],
        "fields": ["x*", {"field": "x*", "format": "f"}],
    }
    assert rewritten(body, rewriter) == {
        "docvalue_fields": [
            *("xar", "xaz"),
            *({"field": "xar", "format": "f"}, {"field": "xaz", "format": "f"}),
            "title",
        ],
        "fields": ["x*", {"field": "xar", "format": "f"}, {"field": "xaz", "format": "f"}],
    }


def test_highlight_queries_are_changed_alone():
    highlight = {"order": "score", "fields": {"a": {"highlight_query": 1}, "b": {}}}
    assert with_highlight_queries(highlight, str) == {
        "order": "score",
        "fields": {"a": {"highlight_query": "1"}, "b": {}},
    }


# --- sections, where they cannot be some

BODY: Final = semantic_field()
KNN: Final = {"field": "body", "query_vector": [1.0, 0.0, 0.0], "k": 1}


@pytest.mark.parametrize("to", [target(BODY, others=True), target(BODY, b=[semantic_field("x")])])
def test_a_section_is_a_query_where_other_indices_have_no_such_chunks(to: Any):
    rewriter = Rewriter(to, Known())
    query = rewriter.query({"knn": KNN}, Scope(10))
    for section in (KNN, [KNN]):
        assert rewritten({"knn": section}, rewriter) == {"query": query}
    term = {"term": {"team": "b"}}
    found = rewritten({"knn": [KNN, KNN], "query": term, "size": 3}, rewriter)
    assert found == {"query": {"bool": {"should": [term, query, query]}}, "size": 3}
    found = rewritten({"retriever": {"knn": {**KNN, "min_score": 0.5}}}, rewriter)
    assert found == {"retriever": {"standard": {"query": query, "min_score": 0.5}}}
    plain = {**KNN, "field": "vector"}
    assert rewritten({"knn": [KNN, plain]}, rewriter) == {"knn": [plain], "query": query}


@pytest.mark.parametrize(
    ("given", "name"), [({}, "body.inference.chunks"), ({"name": "mine"}, "mine")]
)
def test_hits_within_a_section_have_the_name_of_elasticsearchs_chunks(given: Any, name: str):
    knn = {"field": "body", "query_vector": [1.0], "k": 3, "inner_hits": {"size": 1, **given}}
    assert searched({"knn": knn})["knn"]["inner_hits"] == {"size": 1, "name": name}


def test_a_retriever_that_stands_for_several_sections_is_a_query():
    both = target(BODY, b=[semantic_field(endpoint="d")])
    found = {Wanted(one, "x"): Embedded([1.0, 0.0, 0.0]) for one in "ed"}
    rewriter = Rewriter(both, Known(vectors=Vectors(found=found)))
    build = {"text_embedding": {"model_text": "x"}}
    knn = {"field": "body", "query_vector_builder": build, "k": 1, "num_candidates": 20}
    assert len(rewritten({"knn": knn}, rewriter)["knn"]) == 2
    query = rewriter.query({"knn": knn}, Scope(10))
    made = rewritten({"retriever": {"knn": knn}}, rewriter)
    assert made == {"retriever": {"standard": {"query": query}}}
