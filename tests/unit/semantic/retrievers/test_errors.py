"""How a search fails whose retrievers do."""

from __future__ import annotations

from typing import Any

from proxy.semantic.refusals import refusal
from proxy.semantic.retrievers.errors import LeafRefused, RetrieversFailed


def test_the_failures_of_children_are_attached():
    failure: dict[str, Any] = {
        "type": "search_phase_execution_exception",
        "reason": "[xinf.body.chunks]",
        "root_cause": [{"type": "x"}],
        "caused_by": {"type": "y", "reason": "z"},
    }
    envelope = RetrieversFailed(400, "rrf", ["standard", "knn"], [failure]).envelope()
    assert envelope["status"] == 400
    error = envelope["error"]
    assert error["reason"].startswith(
        "[rrf] search failed - retrievers '[standard, knn]' returned errors."
    )
    (attached,) = error["suppressed"]
    assert attached["caused_by"] == {"type": "y", "reason": "z"}
    assert "root_cause" not in attached
    assert "caused_by" not in error["root_cause"][0]["suppressed"][0]
    assert "xinf" not in str(envelope)


def test_a_refusal_is_told_in_the_upstreams_words():
    told = {"root_cause": [{"reason": "no"}], "type": "parsing_exception", "reason": "no"}
    error = LeafRefused(400, told)
    assert error.envelope() == {"error": told, "status": 400}
    assert error.render() == {"type": "parsing_exception", "reason": "no"}


def test_queries_that_had_to_fail_are_told_as_they_were_meant():
    query = refusal("no such type", on_rewriting=True)["query_string"]["query"]
    reason = {"type": "query_shard_exception", "reason": f"Failed to parse query [{query}]"}
    told = {"type": "search_phase_execution_exception", "failed_shards": [{"reason": reason}]}
    meant = {"type": "illegal_argument_exception", "reason": "no such type"}
    (attached,) = RetrieversFailed(400, "rrf", ["standard"], [told]).extra["suppressed"]
    assert attached["failed_shards"] == [{"reason": meant}]
    assert LeafRefused(400, told).render()["failed_shards"] == [{"reason": meant}]
