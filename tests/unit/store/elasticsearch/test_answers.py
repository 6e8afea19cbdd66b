from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import NotFoundError

from proxy.ground.errors import StoreError
from proxy.store.elasticsearch.answers import lacks_document, lacks_index, outcome_of, type_of

NODE = NodeConfig("http", "localhost", 9200)


def not_found(body: Any) -> NotFoundError:
    meta = ApiResponseMeta(404, "1.1", HttpHeaders(), 0.0, NODE)
    return NotFoundError("", meta, body)


@pytest.mark.parametrize(
    ("item", "outcome"),
    [
        ({"status": 201, "result": "created"}, (201, "created")),
        ({"status": 404, "result": "not_found"}, (404, "not_found")),
        (
            {"status": 429, "error": {"type": "circuit_breaking_exception", "reason": "x"}},
            (429, "circuit_breaking_exception"),
        ),
        ({"status": 500, "error": {"type": "Quoted <text>"}}, (500, "unknown")),
    ],
)
def test_a_change_has_a_status_and_a_result_or_the_type_of_an_error(item, outcome):
    assert outcome_of({"items": [{"create": item}]}, "create") == outcome


@pytest.mark.parametrize(
    "body", [None, {}, {"items": []}, {"items": [{"index": {"status": 200}}]}, {"items": [None]}]
)
def test_an_answer_of_another_shape_is_an_error(body):
    with pytest.raises(StoreError, match="did not answer what it was asked"):
        outcome_of(body, "create")


@pytest.mark.parametrize(
    ("body", "document", "index"),
    [
        ({"found": False, "_id": "e1"}, True, False),
        ({"error": {"type": "index_not_found_exception"}, "status": 404}, False, True),
        ({"error": "no handler found"}, False, False),
        ("no such page", False, False),
    ],
)
def test_a_404_says_what_is_missing_if_it_is_elasticsearchs(body, document, index):
    error = not_found(body)
    assert (lacks_document(error), lacks_index(error)) == (document, index)


def test_a_search_that_failed_has_the_type_of_its_cause():
    cause = {"type": "no_shard_available_action_exception"}
    error = {"type": "search_phase_execution_exception", "root_cause": [cause]}
    assert type_of(not_found({"error": error})) == cause["type"]
    assert type_of(not_found({"error": {**error, "root_cause": []}})) == error["type"]
