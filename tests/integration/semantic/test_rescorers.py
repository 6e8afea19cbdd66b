"""Rescorers above and below the retrievers that are evaluated here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic import meaningful
from tests.integration.semantic.meaningful import Place, field
from tests.support.processes import Serve
from tests.support.searching import constant, found, rrf

DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "1": {"title": "Harbour rota", "body": "harbour pilot", "kind": "note", "n": 1},
    "2": {"title": "Bakery", "body": "harbour baker", "kind": "note", "n": 2},
    "3": {"title": "Mine", "body": "gold and lead", "kind": "log", "n": 3},
    "4": {"title": "Harbour walls", "body": "stones", "kind": "log", "n": 4},
    "5": {"title": "Ships", "body": "wood", "kind": "log", "n": 5},
}
WORDS: Final = {"standard": {"query": {"match": {"title": "harbour"}}}}  # 1 and 4
EVERYTHING: Final[Any] = {"standard": {"query": {"match_all": {}}}}
FIRST: Final = constant({"1": 5, "2": 4, "3": 3})


@pytest.fixture(scope="module")
def place(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with meaningful.place(serve_for_session, elasticsearch, "t-rescorers") as made:
        endpoint = made.endpoint("embed")
        mapped = {"title": {"type": "text"}, "kind": {"type": "keyword"}, "n": {"type": "integer"}}
        name = made.index("all", DOCUMENTS, body=field(endpoint), **mapped)
        yield replace(made, client=replace(made.client, index=name))


def rescored(child: Any, window: int = 10, **more: Any) -> Any:
    """Ranks by `n`: with nothing else to say, the documents 5, 4, 3 and so on."""
    numbers = [{"constant_score": {"filter": {"term": {"n": n}}, "boost": n}} for n in range(1, 6)]
    query = {"rescore_query": {"bool": {"should": numbers}}, "query_weight": 0}
    rescore = {"window_size": window, "query": query}
    return {"rescorer": {"retriever": child, "rescore": rescore, **more}}


def test_a_rescorer_counts_all_that_is_matched_below_it(place: Place):
    answer = place.client.search(rescored(rrf(EVERYTHING, WORDS, rank_window_size=3), 3), size=3)
    assert answer["hits"]["total"]["value"] == len(DOCUMENTS)
    assert found(answer) == {"4": 4.0, "2": 2.0, "1": 1.0}
    logs = {"term": {"kind": "log"}}
    answer = place.client.search(rescored(rrf(EVERYTHING, WORDS), filter=logs), size=2)
    assert answer["hits"]["total"]["value"] == 3
    assert found(answer) == {"5": 5.0, "4": 4.0}


def test_rescorers_within_each_other_and_other_trees(place: Place):
    assert list(found(place.client.search(rrf(rescored(FIRST))))) == ["3", "2", "1"]
    assert found(place.client.search(rescored(rescored(rrf(FIRST))))) == {
        "3": 3.0,
        "2": 2.0,
        "1": 1.0,
    }
    meant = {"semantic": {"field": "body", "query": "baker"}}
    rescore = {"query": {"rescore_query": meant, "query_weight": 0}}
    tree = {"rescorer": {"retriever": rrf(FIRST), "rescore": [rescore]}}
    assert next(iter(found(place.client.search(tree)))) == "2"


def test_explanations_of_rescored_documents(place: Place):
    answer = place.client.search(rrf(rescored(rrf(FIRST))), explain=True)
    own, _ = answer["hits"]["hits"][0]["_explanation"]["details"]
    (ranked,) = own["details"][0]["details"]
    assert (ranked["value"], ranked["details"][0]["value"]) == (1, 0.015873017)
    assert "] with an original score of [3.0] is at rank [1] from" in ranked["description"]


def test_explanations_tell_of_the_field_that_was_searched(place: Place):
    meant = {"standard": {"query": {"semantic": {"field": "body", "query": "baker"}}}}
    answer = place.client.search(rrf(meant), explain=True, size=1)
    assert "body.inference.chunks" in str(answer)
    assert "xinf" not in str(answer)


def test_a_rescorer_looks_at_no_more_than_what_is_below_it(place: Place):
    reasons = place.client.refusal(rescored(rrf(FIRST), 11), size=12)["error"]["reason"]
    assert reasons == (
        "Validation Failed: 1: [rescorer] requires [window_size: 11] be greater than or equal to "
        "[size: 12];2: [rrf] requires [rank_window_size: 10] be greater than or equal to "
        "[size: 12];3: [rescorer] requires [window_size: 11] to be smaller than or equal to its "
        "sub retriever's rrf [rank_window_size: 10];"
    )
