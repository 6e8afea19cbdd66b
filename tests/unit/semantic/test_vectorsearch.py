"""Searches for vectors that are near to one."""

from __future__ import annotations

import pytest

from proxy.semantic.vectorsearch import candidates, nearest, weighted

ONE = {"match": {"a": "x"}}


@pytest.mark.parametrize(
    ("k", "given", "expected"),
    [
        (10, None, 100),
        (200, None, 300),
        (9_000, None, 10_000),
        (5, 7, 10),
        (5, 50, 50),
        (20, 15, 15),  # which the upstream refuses
    ],
)
def test_how_many_candidates(k, given, expected):
    assert candidates(k, given) == expected


def test_a_search_for_vectors_has_a_filter_only_if_there_is_one():
    assert "filter" not in nearest("f", [1.0], 3, [])["knn"]
    assert nearest("f", [1.0], 3, [ONE])["knn"]["filter"] == [ONE]


def test_a_search_for_tokens_takes_options():
    assert weighted("f", {"sea": 1.0}, {"prune": True}) == {
        "sparse_vector": {"prune": True, "field": "f", "query_vector": {"sea": 1.0}}
    }
