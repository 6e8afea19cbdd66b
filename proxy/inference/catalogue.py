"""What `GET _inference/_services` says about the service.

Source: HuggingFaceService.Configuration.
"""

from __future__ import annotations

from typing import Final

from proxy.inference.endpoints import SERVICE, SERVICES, TaskType
from proxy.xcontent.values import Json

_TASKS: Final = list(SERVICES[SERVICE])


def _setting(label: str, description: str, type: str, **flags: bool) -> Json:
    return {
        "description": description,
        "label": label,
        "required": flags.get("required", False),
        "sensitive": flags.get("sensitive", False),
        "updatable": flags.get("updatable", False),
        "type": type,
        "supported_task_types": _TASKS,
    }


_HUGGING_FACE: Final[Json] = {
    "service": SERVICE,
    "name": "Hugging Face",
    "task_types": _TASKS,
    "configurations": {
        "api_key": _setting(
            "API Key",
            "API Key for the provider you're connecting to.",
            "str",
            required=True,
            sensitive=True,
            updatable=True,
        ),
        "rate_limit.requests_per_minute": _setting(
            "Rate Limit", "Minimize the number of rate limit errors.", "int"
        ),
        "url": _setting("URL", "The URL endpoint to use for the requests.", "str", required=True),
    },
}


def render_services(task_type: TaskType) -> list[Json]:
    """The entries for a task type, or for any. Elasticsearch hides `hugging_face_elser`, too."""
    return [_HUGGING_FACE] if task_type is TaskType.ANY or task_type in _TASKS else []
