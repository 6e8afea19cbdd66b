"""The layer's errors, in Elasticsearch's words and with the status of what caused them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.ground.errors import IllegalArgument, StatusError
from proxy.semantic.errors import (
    DocumentParsingFailed,
    InferenceFailed,
    InferenceNotLoaded,
    OwnCredentialsRefused,
    unparsable,
)
from proxy.semantic.modelsettings import DenseModel


@pytest.mark.parametrize("kind", [InferenceFailed, InferenceNotLoaded])
def test_a_documents_error_has_the_status_of_its_cause(kind):
    error = kind("embed", "body", StatusError(429, "too many"))
    assert error.status == 429
    shown = error.render()
    assert shown["type"] == "inference_exception"
    assert "[embed] on field [body]" in shown["reason"]
    assert shown["caused_by"]["reason"] == "too many"


def test_a_conflict_of_the_endpoint_is_none_of_the_document():
    """Beats and Logstash drop documents with a 409 without a word, and repeat those with a 503."""
    error = InferenceFailed("embed", "body", StatusError(409, "another model"))
    assert error.status == 503


def test_when_to_come_again_is_told_with_the_error():
    cause = StatusError(429, "too many")
    cause.headers = [("Retry-After", "5")]
    assert InferenceFailed("embed", "body", cause).headers == [("Retry-After", "5")]


def test_what_a_mapping_holds_is_told_with_it():
    error = unparsable(IllegalArgument("no"))
    assert (error.type, error.status) == ("mapper_parsing_exception", 400)
    assert error.reason == "Failed to parse mapping: no"


def test_models_that_differ_are_both_shown():
    model = DenseModel(dimensions=3, similarity="cosine")
    offered = replace(model, dimensions=4)
    error = DocumentParsingFailed.of_models("body", model, offered, "[2:7]")
    assert error.reason.startswith("[2:7] Incompatible model settings for field [body].")
    cause = error.render()["caused_by"]["reason"]
    assert "dimensions=3" in cause
    assert "dimensions=4" in cause


def test_an_expired_key_of_the_proxys_is_nobody_elses_mistake():
    assert OwnCredentialsRefused().status == 503
