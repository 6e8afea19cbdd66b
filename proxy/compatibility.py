"""What differs between the releases of Elasticsearch whose API can be served, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.endpoints import STREAMING_TASKS, TaskType


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of one release, where releases do not agree."""

    # Whether `_update` wants a token with any service settings; then other settings need it, too.
    update_needs_api_key: bool
    # Query parameters that have another name than in the route table.
    parameters: Mapping[str, str] = field(default_factory=dict)
    # Seconds for a completion or a chat without `timeout`; other tasks keep the configured default.
    chat_timeout: float | None = None

    def default_timeout(self, task_type: TaskType, configured: float) -> float:
        """Seconds that a call may take when its request does not say."""
        if task_type in STREAMING_TASKS and self.chat_timeout is not None:
            return max(self.chat_timeout, configured)
        return configured


PROFILES: Final[Mapping[str, Profile]] = {
    "9.2": Profile(update_needs_api_key=True),
    "9.5": Profile(
        update_needs_api_key=False,
        parameters={"master_timeout": "timeout"},
        chat_timeout=120.0,
    ),
}
