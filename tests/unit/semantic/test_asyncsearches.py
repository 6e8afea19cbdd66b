"""What asynchronous searches carry along for their later answers."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.asked import Asked
from proxy.semantic.asyncsearches import is_async, remembering, taken_out
from proxy.semantic.highlights import Shown
from proxy.semantic.shownhits import Where

ASKED: Final = Asked.of(Shown(formats={"body": "x"}), Where(expression="a"))
NOTHING: Final = Asked.of(Shown(), Where(expression="a"))
PATTERN: Final = Asked.of(Shown(unnamed={"body": {}}), Where(expression="a"))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/_async_search", True),
        ("/a/_async_search/", True),
        ("/a/_search", False),
        ("/_async_search/x", False),
    ],
)
def test_which_searches_are_asynchronous(path: str, answer: bool):
    assert is_async(path) is answer


@pytest.mark.parametrize("name", ["aggs", "aggregations"])
def test_a_search_brings_back_what_it_asked_for(name: str):
    own = {"own": {"max": {"field": "n"}}}
    sent = remembering({"size": 1, name: own}, ASKED)
    assert sent["size"] == 1
    assert sent[name]["own"] == own["own"]
    meta = sent[name]["xinf"]["meta"]
    answer = {"response": {"aggregations": {"xinf": {"meta": meta}, "own": {"value": 1}}}}
    assert taken_out(answer) == ASKED
    assert answer == {"response": {"aggregations": {"own": {"value": 1}}}}


@pytest.mark.parametrize(
    ("body", "asked"), [({"size": 1}, NOTHING), ({"size": 1}, PATTERN), ({"aggs": None}, ASKED)]
)
def test_what_needs_nothing_or_cannot_be_sent_stays_as_it_is(body: Any, asked: Asked):
    assert remembering(body, asked) == body


def test_the_profile_does_not_tell():
    shard = {"aggregations": [{"description": "xinf"}, {"description": "own"}], "searches": []}
    answer = {"response": {"profile": {"shards": [shard]}, "hits": {}}}
    assert taken_out(answer) is None
    told = {"aggregations": [{"description": "own"}], "searches": []}
    assert answer["response"]["profile"] == {"shards": [told]}


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"error": {}},
        {"response": {"hits": {}}},
        {"response": {"aggregations": {"xinf": {"doc_count": 0}}}},
        {"response": {"aggregations": {"xinf": {"meta": {"asked": "forged"}}}}},
        {"response": {"aggregations": {"own": {}}, "profile": {"shards": [1]}}},
    ],
)
def test_what_says_nothing(document: Any):
    assert taken_out(document) is None
    assert "xinf" not in str(document)
