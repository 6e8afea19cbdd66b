"""Elasticsearch's errors, told with what mends them."""

from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, BadRequestError, UnsupportedProductError

from proxy.ground.errors import StoreDamaged, StoreError, StoreOverloaded
from proxy.store.elasticsearch.failures import Failures, IndexUnavailable

FAILURES = Failures(index="i", credentials="[upstream.api_key]")


@pytest.mark.parametrize(
    ("status", "kind", "error", "text"),
    [
        (401, "security_exception", StoreError, "[upstream.api_key] must be valid"),
        (403, "security_exception", StoreError, "the privileges [read, write, create_index]"),
        (403, "cluster_block_exception", StoreError, "is blocked or closed"),
        (404, "index_not_found_exception", StoreError, "was just deleted"),
        (429, "cluster_block_exception", StoreOverloaded, "disk of its node is almost full"),
        (429, "circuit_breaking_exception", StoreOverloaded, "short of memory"),
        (429, "es_rejected_execution_exception", StoreOverloaded, "queue is full"),
        (400, "index_closed_exception", StoreError, "POST /i/_open"),
        (400, "mapper_parsing_exception", StoreDamaged, "left alone"),
        (503, "search_phase_execution_exception", IndexUnavailable, "No shard"),
        (404, "shard_not_found_exception", IndexUnavailable, "No shard"),
        (503, "master_not_discovered_exception", StoreError, "has no master"),
        (503, "cluster_block_exception", StoreError, "has no master"),
        (404, "unknown", StoreError, "failed with status [404]"),
        (500, "exception", StoreError, "failed with status [500]"),
    ],
)
def test_a_failure_names_its_cause(status: int, kind: str, error: type[StoreError], text: str):
    found = FAILURES.failed(status, kind)
    assert type(found) is error
    assert text in found.reason


def test_without_credentials_it_is_told_which_to_set():
    failures = Failures(index="i", credentials=None)
    assert "set [upstream.api_key]" in failures.failed(401, "x").reason
    assert "give anonymous users" in failures.failed(403, "x").reason


def test_a_full_disk_says_when_to_try_again():
    error = FAILURES.failed(429, "cluster_block_exception")
    assert ("Retry-After", "30") in error.headers


def answer(status: int, kind: str, of: Any = ApiError) -> Any:
    node = NodeConfig("http", "es", 9200)
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node)
    return of("x", meta, {"error": {"type": kind}, "status": status})


def test_the_clients_errors_are_read():
    assert "queue is full" in FAILURES.translated(answer(429, "x")).reason
    other = answer(200, "x", UnsupportedProductError)
    assert "is no Elasticsearch" in FAILURES.translated(other).reason


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("validation_exception", "no more shards"),
        ("invalid_index_name_exception", "[store.index] must be a name"),
        ("illegal_argument_exception", "an index template or setting"),
    ],
)
def test_an_index_that_is_not_made(kind: str, text: str):
    assert text in FAILURES.not_created(answer(400, kind, BadRequestError)).reason
