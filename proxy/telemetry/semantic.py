"""The figures of the semantic layer, beside those of the process in `proxy.telemetry.metrics`."""

from __future__ import annotations

from typing import Final

from proxy.telemetry.metrics import Metrics

# Label values, so that there is a bound on how many series there can be.
KINDS: Final = ("search", "write", "read", "other")
OUTCOMES: Final = ("translated", "passed_on", "failed")
USES: Final = ("documents", "queries")
REASONS: Final = (
    *("provider", "endpoint", "document", "privilege", "conflict", "overload", "upstream"),
)


class SemanticMetrics:
    """Counts what the semantic layer does; shown with the other figures of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counts(
            "semantic_requests",
            "Requests that the semantic layer has looked at, by what became of them",
            *("kind", "outcome"),
        )
        self._texts = metrics.counts(
            "semantic_texts",
            "Texts embedded for semantic fields and inference processors",
            "use",
        )
        self._failures = metrics.counts(
            "semantic_document_failures",
            "Documents that the semantic layer has worked on, and that were not written",
            "reason",
        )

    def count_request(self, kind: str, outcome: str) -> None:
        """One more request of one of KINDS has one of OUTCOMES."""
        self._requests.add(kind, outcome)

    def count_texts(self, use: str, texts: int) -> None:
        """So many more texts are embedded for one of USES."""
        self._texts.add(use, count=texts)

    def count_failure(self, reason: str) -> None:
        """One more document is not written, for one of REASONS."""
        self._failures.add(reason)
