"""The routes of the `_inference` API: the table of contents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from proxy.api.call import Call
from proxy.api.handlers import (
    delete_endpoint,
    get_diagnostics,
    get_endpoint,
    get_endpoints,
    get_services,
    infer,
    put_endpoint,
    stream,
    update_endpoint,
)
from proxy.inference.actions import InferenceAction

# Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What one method of one path does, and the action that the caller must be allowed."""

    handler: Callable[[Call], Awaitable[Any]]
    action: InferenceAction
    has_body: bool = False
    times: tuple[str, ...] = ()  # query parameters that are time values
    flags: tuple[str, ...] = ()  # query parameters that are booleans
    checks_id: bool = False
    streams: bool = False


_GET_ONE: Final = Route(handler=get_endpoint, action=InferenceAction.GET)
_GET_ALL: Final = Route(handler=get_endpoints, action=InferenceAction.GET)
_GET_SERVICES: Final = Route(handler=get_services, action=InferenceAction.SERVICES)
_ENDPOINT: Final = {
    "GET": _GET_ONE,
    "POST": Route(handler=infer, action=InferenceAction.POST, has_body=True, times=("timeout",)),
    "PUT": Route(
        handler=put_endpoint,
        action=InferenceAction.PUT,
        has_body=True,
        times=("timeout",),
        checks_id=True,
    ),
    "DELETE": Route(
        handler=delete_endpoint, action=InferenceAction.DELETE, flags=("dry_run", "force")
    ),
}
_STREAM: Final = {
    "POST": Route(
        handler=stream, action=InferenceAction.POST, has_body=True, times=("timeout",), streams=True
    )
}
_UPDATES: Final = {
    "PUT": Route(
        handler=update_endpoint,
        action=InferenceAction.UPDATE,
        has_body=True,
        times=("master_timeout",),  # newer releases have one more, see UpdateRules
        checks_id=True,
    )
}
ROUTES: Final[dict[str, dict[str, Route]]] = {
    "/_inference": {"GET": _GET_ALL},
    "/_inference/_all": {"GET": _GET_ALL},
    "/_inference/_services": {"GET": _GET_SERVICES},
    "/_inference/_services/{task_type}": {"GET": _GET_SERVICES},
    "/_inference/.diagnostics": {
        "GET": Route(handler=get_diagnostics, action=InferenceAction.DIAGNOSTICS)
    },
    "/_inference/{task_type_or_id}": _ENDPOINT,
    "/_inference/{task_type_or_id}/_stream": _STREAM,
    "/_inference/{task_type_or_id}/_update": _UPDATES,
    "/_inference/{task_type_or_id}/{inference_id}": _ENDPOINT,
    "/_inference/{task_type_or_id}/{inference_id}/_stream": _STREAM,
    "/_inference/{task_type_or_id}/{inference_id}/_update": _UPDATES,
}
