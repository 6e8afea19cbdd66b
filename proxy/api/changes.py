"""Log lines about changes of endpoints: which endpoint, and who did it."""

from __future__ import annotations

import logging
from typing import Final

from proxy.api.call import Call

_MAX_TEXT: Final = 200  # characters of what callers choose

log = logging.getLogger(__name__)


def log_change(call: Call, change: str, inference_id: str, task_type: str | None) -> None:
    """`change` is `created`, `changed` or `deleted`; the task type may be unknown."""
    user, opaque_id = _cut(call.user), _cut(call.rest.headers.get("X-Opaque-Id"))
    log.info(
        "%s inference endpoint [%s]%s%s%s",
        change,
        inference_id,
        f" ({task_type})" if task_type else "",
        f" by user [{user}]" if user else "",
        f", X-Opaque-Id [{opaque_id}]" if opaque_id else "",
        extra={
            "event.action": f"inference-endpoint-{change}",
            "user.name": user,
            "http.request.id": opaque_id,
            "labels.inference_id": inference_id,
            "labels.task_type": task_type,
        },
    )


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
