"""How requests and failed documents are counted."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import EndpointNotFound, StatusError, UpstreamTimedOut
from proxy.semantic.bulk import Item
from proxy.semantic.counting import count_failures, kind_of, reason_of
from proxy.semantic.errors import InferenceFailed, InferenceNotLoaded
from proxy.semantic.routes import ROUTES
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import KINDS, REASONS, SemanticMetrics


@pytest.mark.parametrize(
    ("method", "pattern", "kind"),
    [
        ("POST", "/{index}/_search", "search"),
        ("POST", "/_msearch/template", "search"),
        ("POST", "/{index}/_explain/{id}", "search"),
        ("POST", "/_bulk", "write"),
        ("PUT", "/{index}/_doc/{id}", "write"),
        ("GET", "/{index}/_doc/{id}", "read"),
        ("HEAD", "/{index}/_source/{id}", "read"),
        ("POST", "/_reindex", "write"),
        ("GET", "/{index}/_mapping", "other"),
        ("GET", "/_tasks/{task_id}", "other"),
    ],
)
def test_the_route_says_of_which_kind_a_request_is(method: str, pattern: str, kind: str) -> None:
    assert method in ROUTES[pattern]
    assert kind_of(pattern, method) == kind


def test_every_route_has_a_kind_that_is_known() -> None:
    found = {kind_of(pattern, method) for pattern, ways in ROUTES.items() for method in ways}
    assert found == set(KINDS)


PROVIDER = StatusError(429, "too many")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InferenceFailed("e", "body", PROVIDER), "provider"),
        (InferenceNotLoaded("e", "body", PROVIDER), "provider"),
        (EndpointNotFound("e"), "endpoint"),
        (StatusError(400, "Invalid format"), "document"),
        (StatusError(403, "no"), "privilege"),
        (StatusError(409, "version conflict"), "conflict"),
        (StatusError(429, "full"), "overload"),
        (UpstreamTimedOut("late"), "upstream"),
    ],
)
def test_the_reason_is_one_of_a_few(error: Any, reason: str) -> None:
    assert reason in REASONS
    assert reason_of(error.render(), error.status) == reason


def test_documents_without_fields_of_ours_are_not_counted() -> None:
    metrics = Metrics(Endpoints())
    entry = {"index": {"_id": "1", "status": 400, "error": {"type": "x"}}}
    plain = Item(action="index", meta={}, action_line=b"", source=b"{}")
    refused = Item(
        action="index", meta={}, action_line=b"", source=b"{}", failure=StatusError(400, "x")
    )
    count_failures(SemanticMetrics(metrics), [plain, refused], [entry, entry])
    name = "hfproxy_semantic_document_failures_total"
    assert metrics.registry.get_sample_value(name, {"reason": "document"}) == 1
