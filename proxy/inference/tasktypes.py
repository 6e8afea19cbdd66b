"""Task types, read from paths and bodies."""

from __future__ import annotations

from typing import Any

from proxy.ground.errors import IllegalArgument, StatusError
from proxy.ground.masking import shown_value
from proxy.inference.endpoints import TaskType
from proxy.inference.fields import wrong_type


def parse_task_type(text: str) -> TaskType:
    """A task type in any letter case. Raises: StatusError 400."""
    try:
        return TaskType(text.strip().lower())
    except ValueError:
        shown = shown_value(text, "task_type")
        raise StatusError(400, f"Unknown task_type [{shown}]") from None


def resolve_task_type(in_path: TaskType, in_body: Any) -> TaskType:
    """The task type of a request that may name it in its path, its body, or both.

    Raises: StatusError 400, IllegalArgument. Source: ServiceUtils.resolveTaskType.
    """
    if in_body is not None and not isinstance(in_body, str):
        raise IllegalArgument(wrong_type("task_type", in_body, "String"))
    if in_path is TaskType.ANY:
        if in_body is None:
            raise StatusError(400, "model is missing required setting [task_type]")
        if (task_type := parse_task_type(in_body)) is TaskType.ANY:
            raise StatusError(400, "task_type [any] is not valid type for inference")
        return task_type
    if in_body is not None and parse_task_type(in_body) not in (in_path, TaskType.ANY):
        raise StatusError(
            400,
            f"Cannot resolve conflicting task_type parameter in the request URL [{in_path}] "
            f"and the request body [{in_body}]",
        )
    return in_path
