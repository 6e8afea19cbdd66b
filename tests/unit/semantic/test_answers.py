"""Answers of the upstream's, as callers see them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.answers import presentable, rewording
from proxy.semantic.refusals import refusal, with_refusals

WORDS = rewording({"body": {}}, {"body": "lumps"})


def failed(reason: str, *, on_rewriting: bool = False) -> dict[str, Any]:
    """A shard's failure to parse a refusal, as Elasticsearch tells it."""
    query = refusal(reason, on_rewriting=on_rewriting)["query_string"]["query"]
    return {
        "type": "query_shard_exception",
        "reason": f"Failed to parse query [{query}]",
        "index_uuid": "u",
        "index": "a",
        "caused_by": {"type": "parse_exception", "reason": f"Cannot parse '{query}': ..."},
    }


def test_a_refusal_is_what_was_meant():
    reason = "it is [so] (or so)"
    assert with_refusals(failed(reason)) == {
        "type": "query_shard_exception",
        "reason": f"failed to create query: {reason}",
        "index_uuid": "u",
        "index": "a",
        "caused_by": {"type": "illegal_argument_exception", "reason": reason},
    }
    cause = {"type": "illegal_argument_exception", "reason": reason}
    assert with_refusals(failed(reason, on_rewriting=True)) == cause


def test_a_search_that_failed_by_one_shows_its_cause():
    error = {
        "type": "search_phase_execution_exception",
        "failed_shards": [{"reason": failed("no", on_rewriting=True)}],
    }
    cause = {"type": "illegal_argument_exception", "reason": "no"}
    assert with_refusals(error)["caused_by"] == {**cause, "caused_by": cause}
    error = {**error, "failed_shards": [{"reason": failed("no")}]}
    assert "caused_by" not in with_refusals(error)


def test_other_errors_stay():
    error = {"type": "query_shard_exception", "reason": "Failed to parse query [((]"}
    assert with_refusals(error) == error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Cannot search on field [body] since it is not indexed.",
            "Field [body] of type [semantic_text] does not support match queries",
        ),
        (
            "Cannot search on field [other] since it is not indexed.",
            "Cannot search on field [other] since it is not indexed.",
        ),
        (
            "Fielddata is disabled on [body] in [a]. Text fields are not optimised. So.",
            "[semantic_text] fields do not support sorting, scripting or aggregating",
        ),
        (
            "error fetching [body]: Field [body] of type [text] doesn't support formats.",
            "error fetching [body]: Unknown format [lumps] for field [body], only [chunks] is "
            "supported.",
        ),
    ],
)
def test_texts_speak_of_what_users_declared(text, shown):
    assert WORDS(text) == shown


def test_hits_show_nothing_of_ours():
    hit = {
        "_index": "a",
        "_id": "1",
        "_source": {"body": "xinf.body", "xinf": {}, "sub": {"xinf": 1}},
        "fields": {"xinf.body.chunks": [], "n": [1]},
        "inner_hits": {
            "x": {
                "hits": {"hits": [{"_nested": {"field": "xinf.a:b.chunks", "offset": 0}}]},
            }
        },
    }
    document = {"hits": {"hits": [hit]}, "aggregations": {"top": {"hits": {"hits": [hit]}}}}
    shown = presentable(document, WORDS)["hits"]["hits"][0]
    assert shown["_source"] == {"body": "xinf.body", "sub": {"xinf": 1}}
    assert shown["fields"] == {"n": [1]}
    inner = shown["inner_hits"]["x"]["hits"]["hits"][0]
    assert inner["_nested"]["field"] == "a.b.inference.chunks"
    assert presentable(document, WORDS)["aggregations"]["top"]["hits"]["hits"] == [shown]
    later = presentable({"id": "x", "response": document}, WORDS)
    assert later["response"]["hits"]["hits"] == [shown]
