"""Queries that are to fail, and what their failures become in answers."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.refusals import refusal, takes_match, with_refusals


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


def test_its_trace_says_so_too():
    error = failed("no")
    error["stack_trace"] = f"QueryShardException: {error['reason']}\n\tat a.B"
    assert with_refusals(error)["stack_trace"] == (
        "QueryShardException: failed to create query: no\n\tat a.B"
    )


@pytest.mark.parametrize("on_rewriting", [True, False])
def test_so_is_one_that_is_the_whole_error(on_rewriting: bool):
    error = failed("no", on_rewriting=on_rewriting)
    meant = with_refusals(error)
    root = {key: value for key, value in error.items() if key != "caused_by"}
    told = {key: value for key, value in meant.items() if key != "caused_by"}
    assert with_refusals({"root_cause": [root], **error}) == {"root_cause": [told], **meant}


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


def test_a_text_that_quotes_one_is_put_right():
    text = f"a: {failed('no')['reason']}; org.apache.Cause: Cannot parse"
    assert with_refusals([text]) == [
        "a: failed to create query: no; java.lang.IllegalArgumentException: no"
    ]
    text = f"a: {failed('no', on_rewriting=True)['reason']}"
    assert with_refusals(text) == "a: no"


def test_a_query_that_is_quoted_shows_what_was_meant():
    query = refusal("no")["query_string"]["query"]
    assert with_refusals(f'{{"bool": "{query}", "boost": -1}}') == '{"bool": "no", "boost": -1}'


@pytest.mark.parametrize("reason", ["", "((", "with ] and (( in it", "a\nb"])
def test_any_reason_comes_back(reason: str):
    assert with_refusals(failed(reason, on_rewriting=True))["reason"] == reason


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({}, True),
        ({"operator": "AND", "lenient": True, "fuzziness": 2, "boost": 2.5}, True),
        ({"fuzziness": "AUTO:1,3", "minimum_should_match": "75%", "_name": "a\nb"}, True),
        ({"bogus": 1}, False),
        ({"operator": "xor"}, False),
        ({"zero_terms_query": "some"}, False),
        ({"prefix_length": "x"}, False),
        ({"lenient": "yes"}, False),
        ({"fuzziness": 7}, False),
    ],
)
def test_the_options_of_a_match(option: dict[str, Any], expected: bool):
    assert takes_match({"query": "a moon", **option}) is expected
