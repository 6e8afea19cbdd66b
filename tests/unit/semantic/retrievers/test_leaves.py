"""Searches with retrievers, as Elasticsearches take them that know none."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.retrievers.leaves import Asked, search_of, without_retriever
from proxy.semantic.retrievers.tree import Leaf

QUERY: Final[Any] = {"term": {"a": 1}}
OTHER: Final[Any] = {"term": {"b": 2}}
KNN: Final[Any] = {"field": "v", "query_vector": [1.0], "k": 1, "num_candidates": 2}


@pytest.mark.parametrize(
    ("retriever", "expected"),
    [
        ({"standard": {"query": QUERY}}, {"query": QUERY}),
        ({"standard": {}}, {"query": {"match_all": {}}}),
        (
            {"standard": {"query": QUERY, "filter": OTHER}},
            {"query": {"bool": {"must": [QUERY], "filter": [OTHER]}}},
        ),
        (
            {"standard": {"query": QUERY, "min_score": 1, "terminate_after": 5}},
            {"query": QUERY, "min_score": 1, "terminate_after": 5},
        ),
        (
            {"standard": {"query": QUERY, "sort": ["a"], "search_after": [3]}},
            {"query": QUERY, "sort": ["a"], "search_after": [3]},
        ),
        ({"knn": {**KNN, "filter": OTHER}}, {"knn": {**KNN, "filter": OTHER}}),
        ({"knn": {**KNN, "min_score": 0.5}}, {"knn": KNN, "min_score": 0.5}),
    ],
)
def test_a_lone_one_becomes_what_it_stands_for(retriever, expected):
    assert without_retriever({"retriever": retriever, "size": 3}) == {"size": 3, **expected}


@pytest.mark.parametrize(
    "search",
    [
        {"retriever": {"standard": {"query": QUERY}}, "query": OTHER},
        {"retriever": {"standard": {"query": QUERY}}, "sort": ["a"]},
        {"retriever": {"standard": {"unheard": QUERY}}},
        {"retriever": {"standard": {"query": QUERY}, "knn": KNN}},
        {"retriever": {"rescorer": {"retriever": {"standard": {}}}}},
        {"retriever": []},
    ],
)
def test_what_would_be_refused_is_left_to_be_refused(search):
    assert without_retriever(search) == search


@pytest.mark.parametrize(("k", "size"), [(3, 3), (30, 10), (0, 0), ("x", 10), (None, 10)])
def test_a_leaf_finds_no_more_than_its_k(k: Any, size: int):
    leaf = Leaf(name="knn", values={"field": "v", "query_vector": [1.0], "k": k})
    assert search_of(leaf, Asked(size=10), {})["size"] == size
