"""Which endpoints a path stands for: those of a task type, or one by its id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.inference.endpoints import TaskType
from proxy.inference.tasktypes import parse_task_type


@dataclass(frozen=True, slots=True)
class EndpointPath:
    """What a path names; `parameters` are the names that its pattern gives to its parts."""

    task_type: TaskType = TaskType.ANY
    inference_id: str = ""  # where the path has none
    parameters: tuple[str, ...] = ()


def parse_path(in_path: Mapping[str, str], in_query: Mapping[str, str]) -> EndpointPath:
    """The endpoints of a path. A lone first segment is an id, even if it looks like a task type.

    The query may give the id instead, because Elasticsearch keeps the parameters of both in one
    map. Raises: StatusError 400 for an unknown task type. Source: BaseInferenceAction.
    """
    if "task_type" in in_path:
        return EndpointPath(parse_task_type(in_path["task_type"]), "", ("task_type",))
    if "task_type_or_id" not in in_path:
        return EndpointPath()
    names = ("task_type_or_id", "inference_id")
    first = in_path["task_type_or_id"]
    inference_id = in_path.get("inference_id", in_query.get("inference_id"))
    if inference_id is None:
        return EndpointPath(TaskType.ANY, first, names)
    return EndpointPath(parse_task_type(first), inference_id, names)
