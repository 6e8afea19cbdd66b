"""What the semantic layer does, in figures."""

from __future__ import annotations

from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import SemanticMetrics


def test_what_is_counted_is_shown_with_the_other_figures():
    metrics = Metrics(Endpoints())
    semantic = SemanticMetrics(metrics)
    semantic.count_request("search", "translated")
    semantic.count_texts("queries", 3)
    semantic.count_texts("queries", 4)
    semantic.count_failure("provider")
    value = metrics.registry.get_sample_value
    labels = {"kind": "search", "outcome": "translated"}
    assert value("hfproxy_semantic_requests_total", labels) == 1
    assert value("hfproxy_semantic_texts_total", {"use": "queries"}) == 7
    assert value("hfproxy_semantic_document_failures_total", {"reason": "provider"}) == 1
