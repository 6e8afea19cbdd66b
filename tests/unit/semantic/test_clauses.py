from __future__ import annotations

import pytest

from proxy.semantic.clauses import Clause, any_of, candidates, in_indices, nearest_chunks

ONE, OTHER = {"match": {"a": "x"}}, {"match": {"b": "x"}}


def test_nothing_is_found_by_no_clause():
    assert any_of([]) == {"match_none": {}}


def test_one_clause_for_all_indices_is_its_query():
    assert any_of([Clause(ONE)]) == ONE


def test_a_clause_for_some_indices_does_not_score_them():
    here = in_indices(["i"])
    assert any_of([Clause(ONE, here), Clause(OTHER)]) == {
        "bool": {"should": [{"bool": {"filter": [here], "must": [ONE]}}, OTHER]}
    }


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


def test_a_search_for_chunks_has_a_filter_only_if_there_is_one():
    assert "filter" not in nearest_chunks("f", [1.0], 3, [])["knn"]
    assert nearest_chunks("f", [1.0], 3, [ONE])["knn"]["filter"] == [ONE]
