"""What the plain highlighter is given to look for."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.innerhits import all_taken_over
from proxy.semantic.plainhighlights import query_of, with_words_alone
from tests.unit.semantic.targets import semantic_field

ALL: Final[Any] = {"match_all": {}}
NEAR: Final[Any] = {"nested": {"path": "p", "query": {"knn": {"query_vector": [1.0]}}}}
BOTH: Final[Any] = {"bool": {"must": [NEAR], "should": [ALL]}}
PLAIN: Final[Any] = {"type": "plain", "fields": {"title": {}, "other": {"type": "unified"}}}


def meant(words: Any) -> Any:
    fields = {"title": {"highlight_query": words}, "other": {"type": "unified"}}
    return {"type": "plain", "fields": fields}


@pytest.mark.parametrize(
    ("query", "words"), [(NEAR, {"match_none": {}}), (BOTH, {"bool": {"should": [ALL]}})]
)
def test_it_looks_for_words_alone(query: Any, words: Any):
    assert with_words_alone(PLAIN, query) == meant(words)
    own = {**PLAIN, "highlight_query": query}
    assert with_words_alone(own, ALL) == {**meant(words), "highlight_query": query}
    listed = {**PLAIN, "fields": [PLAIN["fields"]]}
    assert with_words_alone(listed, query)["fields"] == [meant(words)["fields"]]


@pytest.mark.parametrize("query", [None, ALL, {"nested": {"path": "p", "query": ALL}}])
def test_other_queries_stay(query: Any):
    assert with_words_alone(PLAIN, query) == PLAIN


@pytest.mark.parametrize("fields", [{"title": None}, {"title": []}, "title", None])
def test_so_does_what_is_wrong(fields: Any):
    highlight = {"type": "plain", "fields": fields}
    assert with_words_alone(highlight, NEAR) == highlight


def test_hits_are_found_by_the_query_of_their_search():
    found = {"query": NEAR, "aggs": {"a": {"top_hits": {"highlight": PLAIN}}}, "highlight": PLAIN}
    made, _ = all_taken_over(found, {"body": {"a": semantic_field()}}, 1)
    assert made["highlight"] == meant({"match_none": {}})
    assert made["aggs"]["a"]["top_hits"]["highlight"] == meant({"match_none": {}})
    assert query_of({"retriever": {"standard": {"query": NEAR}}}) == NEAR
    assert query_of({"retriever": {"standard": {}}}) is None
