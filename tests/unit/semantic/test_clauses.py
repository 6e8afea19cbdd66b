from __future__ import annotations

from proxy.semantic.clauses import Clause, any_of, in_indices

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
