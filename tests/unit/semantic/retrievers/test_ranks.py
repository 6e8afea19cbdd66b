"""The `rank` of a search as a retriever."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.retrievers.ranks import with_retriever

QUERY: Final = {"term": {"a": "b"}}
KNN: Final = {"field": "v", "query_vector": [1.0], "k": 2, "num_candidates": 9}
RANK: Final = {"rrf": {"rank_window_size": 7, "rank_constant": 3}}


def retrievers(body: Any) -> Any:
    return with_retriever({"rank": RANK, **body})["retriever"]["rrf"]["retrievers"]


def test_a_query_and_a_vector_search_are_fused():
    body = {"query": QUERY, "knn": {**KNN, "boost": 2}, "rank": RANK, "size": 3}
    assert with_retriever(body) == {
        "size": 3,
        "retriever": {
            "rrf": {**RANK["rrf"], "retrievers": [{"standard": {"query": QUERY}}, {"knn": KNN}]}
        },
    }


def test_searches_and_vector_searches_stand_in_their_order():
    searches = [{"query": QUERY}, {"query": {"match_all": {}}}]
    found = retrievers({"sub_searches": searches, "knn": [KNN, {**KNN, "k": 1}]})
    assert [next(iter(one)) for one in found] == ["standard", "standard", "knn", "knn"]
    assert found[3]["knn"]["k"] == 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"term": {"a": {"value": "b", "_name": "mine"}}}, "mine"),
        ({"bool": {"must": [], "_name": "mine"}}, "mine"),
        ({"bool": {"must": []}}, None),
        ({"match_all": {}}, None),
        ("no query", None),
    ],
)
def test_queries_name_their_retrievers(query: Any, name: Any):
    first, _ = retrievers({"query": query, "knn": KNN})
    assert first == {"standard": {"query": query} | ({"_name": name} if name else {})}


@pytest.mark.parametrize(
    "body",
    [
        {"query": QUERY},
        {"query": QUERY, "rank": {"rrf": {"window": 1}}},
        {"query": QUERY, "rank": {"rrf": {}, "other": {}}},
        {"query": QUERY, "rank": "rrf"},
        {"retriever": {"standard": {}}, "rank": RANK},
        {"sub_searches": ["none"], "knn": KNN, "rank": RANK},
        "not a search",
    ],
)
def test_what_is_not_such_a_search_stays(body: Any):
    assert with_retriever(body) is body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"query": QUERY}, "[rrf] requires at least 2 sub-queries to be defined"),
        (
            {"query": QUERY, "sub_searches": []},
            "cannot specify field [sub_searches] and field [query]",
        ),
    ],
)
def test_what_is_refused(body: Any, reason: str):
    with pytest.raises(IllegalArgument) as caught:
        with_retriever({**body, "rank": RANK})
    assert caught.value.reason == reason
