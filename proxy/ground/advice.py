"""What the proxy adds to an error of a provider, beside Elasticsearch's own keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

WAKING_UP: Final = "waking_up"  # the state of a provider that is not up yet
KEYS: Final = ("hint", "provider_status")


@dataclass(frozen=True, slots=True)
class Advice:
    """What is the matter with the provider, and what can be done about it."""

    state: str  # of a closed set: a label of figures and log lines
    hint: str
    provider_status: int | None = None  # of its answer, if there was one
    seconds: float | None = None  # after which another call may succeed, if that is known
    is_general: bool = False  # whether it would be the same with whatever else is sent

    def headers(self) -> Sequence[tuple[str, str]]:
        """Those of the answer."""
        return [] if self.seconds is None else [("Retry-After", str(max(1, ceil(self.seconds))))]


def rendered(advice: Advice | None) -> dict[str, Any]:
    """The keys of an error object that show it; none for no advice."""
    if advice is None:
        return {}
    status = advice.provider_status
    return {"hint": advice.hint, **({} if status is None else {"provider_status": status})}


TOO_LATE: Final = Advice(
    "timed_out",
    "The answer takes too long. Allow a longer [timeout], send fewer or shorter inputs, or give "
    "the provider more replicas.",
)
