"""What searches ask to be shown of semantic fields."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.highlights import Sought
from proxy.semantic.innerhits import all_taken_over
from proxy.xcontent.numbers import Numbers
from tests.unit.semantic.targets import semantic_field

VECTORS: Final = "xinf.body.chunks.embeddings"
BODY: Final = semantic_field()
KNN: Final = {"knn": {"field": VECTORS, "query_vector": [1.0], "k": 10}}
NEAR: Final = {"nested": {"path": "xinf.body.chunks", "query": KNN}}
ALL: Final[dict[str, Any]] = {"match_all": {}}


TOKENS: Final = {"sparse_vector": {"field": VECTORS, "query_vector": {"sea": 0.5}}}


def taken(body: dict[str, Any], indices: int = 1) -> Any:
    """What a search asks to be shown; taken out of `body`."""
    made, shown = all_taken_over(body, {"body": {"a": BODY}}, indices)
    body.clear()
    body.update(made)
    return shown


def sought(body: Any) -> Any:
    shown = taken(body | {"highlight": {"fields": {"body": {}}}})
    return shown.highlights[0].sought


def of(vector: Any, *indices: str) -> Sought:
    chunks = "" if vector is None else VECTORS
    return Sought(vector=vector, chunks=chunks, indices=frozenset(indices) if indices else None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (of(None),)),
        ({"query": ALL}, (of(None),)),
        ({"query": NEAR}, (of([1.0]),)),
        ({"knn": {**KNN["knn"], "query_vector": Numbers.of([1.0, 0.5])}}, (of([1.0, 0.5]),)),
        ({"query": {"term": {"x": 1}}}, ()),
        ({"knn": {**KNN["knn"], "query_vector": [1.0, "x"]}}, ()),
        ({"knn": {**KNN["knn"], "query_vector": [10**400]}}, ()),
        ({"knn": {**KNN["knn"], "query_vector": []}}, ()),
        ({"query": {"nested": {"query": TOKENS}}}, (of({"sea": 0.5}),)),
        ({"query": {"sparse_vector": {"field": "x", "query": "text"}}}, ()),
        ({"query": {"bool": {"must": [NEAR], "filter": ALL}}}, (of([1.0]), of(None))),
        ({"query": {"bool": {"must_not": [NEAR]}}}, ()),
        ({"query": {"function_score": {"query": NEAR}}}, (of([1.0]),)),
        ({"query": {"dis_max": {"queries": [NEAR]}}}, (of([1.0]),)),
        ({"query": {"constant_score": {"filter": NEAR}}}, (of([1.0]),)),
        (
            {"query": {"bool": {"filter": [{"terms": {"_index": ["a"]}}], "must": [NEAR]}}},
            (of([1.0], "a"),),
        ),
        ({"knn": KNN["knn"]}, (of([1.0]),)),
        ({"retriever": {"knn": KNN["knn"]}}, (of([1.0]),)),
        ({"retriever": {"standard": {"query": NEAR}}}, (of([1.0]),)),
        (
            {"retriever": {"rrf": {"retrievers": [{"standard": {"query": NEAR}}, KNN]}}},
            (of([1.0]), of([1.0])),
        ),
    ],
)
def test_what_a_search_looks_for(body, expected):
    assert sought(body) == expected


def test_it_is_taken_out_of_what_is_sent():
    body: dict[str, Any] = {"highlight": {"type": "semantic", "fields": {"body": {}, "title": {}}}}
    taken(body)
    assert body == {}
    body = {"highlight": {"order": "score", "fields": [{"body": {}}, {"title": {}}]}}
    taken(body)
    assert body == {"highlight": {"order": "score", "fields": [{"title": {}}]}}
    body = {"highlight": {"fields": []}}
    taken(body)
    assert body == {"highlight": {"fields": []}}


def test_a_field_that_is_a_text_elsewhere_is_sent_too():
    body: dict[str, Any] = {"highlight": {"fields": {"body": {}}}}
    assert taken(body, 2).highlights
    assert body == {"highlight": {"fields": {"body": {}}}}


def test_other_highlighters_are_the_upstreams():
    body: dict[str, Any] = {"highlight": {"fields": {"body": {"type": "plain"}}}}
    assert not taken(body)
    assert body == {"highlight": {"fields": {"body": {"type": "plain"}}}}


def test_chunks():
    chunks = {"field": "body", "format": "chunks"}
    body: dict[str, Any] = {"fields": ["title", chunks, {"field": "body", "format": "lumps"}]}
    shown = taken(body)
    assert list(shown.chunks) == ["body"]
    assert shown.formats == {"body": "lumps"}
    assert body == {"fields": ["title", {"field": "body", "format": "lumps"}]}
