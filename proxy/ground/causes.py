"""Java exceptions that callers only see inside another error's `caused_by`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.ground.quoting import shortened


@dataclass(frozen=True, slots=True)
class Cause:
    """A Java exception that callers only see inside `caused_by`: a value, never raised."""

    type: str
    reason: str  # cut if it is long
    cause: Cause | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", shortened(self.reason))

    def render(self) -> dict[str, Any]:
        """The error object: `type`, `reason`, `caused_by`."""
        error: dict[str, Any] = {"type": self.type, "reason": self.reason}
        if self.cause is not None:
            error["caused_by"] = self.cause.render()
        return error

    def reworded(self, reword: Callable[[str], str]) -> Cause:
        """The same with its text, and those of its causes, changed by `reword`."""
        cause = None if self.cause is None else self.cause.reworded(reword)
        return Cause(self.type, reword(self.reason), cause)
