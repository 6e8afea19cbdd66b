"""Tasks as any proxy can show them, whichever of them runs one.

A task's process leaves a note of it, and renews that every few seconds. So others show it, too, and
notice when its process is gone. Whoever wants it to be cancelled says so in the note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import orjson

from proxy.ground.errors import ProxyError

LOST_AFTER: Final = 20.0  # seconds without a word of its process
_PREFIX: Final = "task/"  # of notes
_LARGEST: Final = 16 * 1024  # bytes of failures that a note holds
_LONGEST: Final = 2_000  # characters of a description there


class NodeGone(ProxyError):
    """The process that ran a task has ended before it. Source: NodeClosedException."""

    status = 503
    type = "node_closed_exception"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task at one moment: under way, or with its outcome."""

    node: str
    number: int
    action: str
    description: str
    status: Mapping[str, Any]
    started_at: float  # seconds since the epoch, as is `told_at`
    seconds: float  # that it has run
    told_at: float  # when its process has said so
    is_cancelled: bool = False
    has_ended: bool = False
    response: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None  # as callers see it

    @property
    def id(self) -> str:
        return f"{self.node}:{self.number}"

    def rendered(self) -> dict[str, Any]:
        """As `GET _tasks/<id>` shows it. Source: TaskResult."""
        document: dict[str, Any] = {"completed": self.has_ended, "task": self.info()}
        if self.response is not None:
            document["response"] = self.response
        if self.error is not None:
            document["error"] = self.error
        return document

    def info(self) -> dict[str, Any]:
        """As listings show it. Source: TaskInfo."""
        return {
            "node": self.node,
            "id": self.number,
            "type": "transport",
            "action": self.action,
            "status": self.status,
            "description": self.description,
            "start_time_in_millis": int(self.started_at * 1000),
            "running_time_in_nanos": int(self.seconds * 1e9),
            "cancellable": True,
            "cancelled": self.is_cancelled,
            "headers": {},
        }

    def seen_at(self, now: float) -> TaskState:
        """The same, or failed if its process has not been heard of for too long."""
        if self.has_ended or now - self.told_at <= LOST_AFTER:
            return self
        error = NodeGone(
            f"task [{self.id}] belongs to the node [{self.node}] which isn't part of the cluster "
            "any more: the proxy that ran it has ended before the task had"
        )
        return replace(self, has_ended=True, error=error.render())

    def noted(self) -> dict[str, Any]:
        """What a note says of it: of many failures the first ones, of many names as well."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        if self.response is not None:
            content["response"] = _shortened(self.response)
        content["description"] = self.description[:_LONGEST]
        return content


def note_of(task_id: str) -> str:
    """The name of the note of a task."""
    return _PREFIX + task_id


def is_note_of_task(name: str) -> bool:
    return name.startswith(_PREFIX)


def state_in(content: Mapping[str, Any] | None) -> TaskState | None:
    """What a note says; None if there is none, or another version of the proxy has left it."""
    try:
        return None if content is None else TaskState(**content)
    except TypeError:
        return None


def _shortened(response: Mapping[str, Any]) -> dict[str, Any]:
    kept: list[Any] = []
    left = _LARGEST
    for failure in response.get("failures", ()):
        left -= len(orjson.dumps(failure))
        if left < 0:
            break
        kept.append(failure)
    return {**response, "failures": kept}
