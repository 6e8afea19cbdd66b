"""What a search fails with if its retrievers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.ground.errors import ProxyError, StatusError
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.refusals import with_refusals

Json = Mapping[str, Any]


class RetrieversFailed(StatusError):
    """The children of a compound retriever failed; `failures` are the errors of each of them.

    Source: CompoundRetrieverBuilder.
    """

    def __init__(
        self, status: int, name: str, children: Sequence[str], failures: Sequence[Json]
    ) -> None:
        super().__init__(
            status,
            f"[{name}] search failed - retrievers '[{', '.join(children)}]' returned errors. "
            "All failures are attached as suppressed exceptions.",
        )
        self.extra = {"suppressed": [_bare(_told(one)) for one in failures]}

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        envelope = super().envelope(trace)
        for root in envelope["error"]["root_cause"]:
            root["suppressed"] = _without_causes(root["suppressed"])
        return envelope


class LeafRefused(ProxyError):
    """The upstream's refusal of a part of the tree, in its own words."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(str(error.get("reason", "")))
        self.status = status
        self._error = _told(error)

    def render(self, trace: str | None = None) -> dict[str, Any]:
        return _bare(self._error)

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        return {"error": self._error, "status": self.status}


def _told(error: Json) -> dict[str, Any]:
    """An error of the upstream's without anything of ours."""
    told: dict[str, Any] = hide_in_error(with_refusals(error))
    return told


def _bare(error: Json) -> dict[str, Any]:
    """An error as another one attaches it."""
    return {key: value for key, value in error.items() if key != "root_cause"}


def _without_causes(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_causes(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _without_causes(one) for key, one in value.items() if key != "caused_by"}
    return value
