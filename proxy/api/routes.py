"""The routes of the `_inference` API: the table of contents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
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
from proxy.api.paths import EndpointPath, parse_path
from proxy.ground.remembering import remembered
from proxy.inference.actions import InferenceAction
from proxy.inference.ids import check_inference_id
from proxy.inference.releases import Profile
from proxy.limits.calls import Caller, CallLimits
from proxy.rest.request import read_target, segments_of
from proxy.rest.responder import DOCUMENT, EVENT, ErrorShape
from proxy.rest.routing import Match, PathTrie


def _none(profile: Profile) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What one method of one path does, and the action that the caller must be allowed.

    `handler` returns the answer's document, or Events where the route `streams`.
    """

    name: str  # a label of the metrics
    handler: Callable[[Call], Awaitable[Any]]
    action: InferenceAction
    has_body: bool = False
    times: tuple[str, ...] = ()  # query parameters that are time values
    times_of_release: Callable[[Profile], tuple[str, ...]] = _none  # those that not all know
    flags: tuple[str, ...] = ()  # query parameters that are booleans
    checks_id: bool = False
    streams: bool = False

    @property
    def error_shape(self) -> ErrorShape:
        """How errors are shown as soon as the request fits the route."""
        return EVENT if self.streams else DOCUMENT

    def times_in(self, profile: Profile) -> tuple[str, ...]:
        """The query parameters that are time values, in the order in which they are checked."""
        return self.times + self.times_of_release(profile)

    def validate(self, inference_id: str) -> None:
        """Raises: ProxyError for an id that no endpoint may have, where the route writes one."""
        if self.checks_id:
            check_inference_id(inference_id)

    def place(self, limits: CallLimits, caller: Caller) -> AbstractContextManager[None]:
        """A place among the caller's calls or streams under way, held while it is entered.

        Entering raises: Rejected.
        """
        if self.streams:
            return limits.stream(caller)
        return limits.call(caller) if self.has_body else nullcontext()


def _timeout_of_update(profile: Profile) -> tuple[str, ...]:
    return ("timeout",) if profile.update.takes_timeout else ()


_GET_ONE: Final = Route(name="get_endpoint", handler=get_endpoint, action=InferenceAction.GET)
_GET_ALL: Final = Route(name="get_endpoints", handler=get_endpoints, action=InferenceAction.GET)
_GET_SERVICES: Final = Route(
    name="get_services", handler=get_services, action=InferenceAction.SERVICES
)
_GET_DIAGNOSTICS: Final = Route(
    name="get_diagnostics", handler=get_diagnostics, action=InferenceAction.DIAGNOSTICS
)
_INFER: Final = Route(
    name="infer",
    handler=infer,
    action=InferenceAction.POST,
    has_body=True,
    times=("timeout",),
)
_STREAM: Final = Route(
    name="stream",
    handler=stream,
    action=InferenceAction.POST,
    has_body=True,
    times=("timeout",),
    streams=True,
)
_PUT: Final = Route(
    name="put_endpoint",
    handler=put_endpoint,
    action=InferenceAction.PUT,
    has_body=True,
    times=("timeout",),
    checks_id=True,
)
_UPDATE: Final = Route(
    name="update_endpoint",
    handler=update_endpoint,
    action=InferenceAction.UPDATE,
    has_body=True,
    times=("master_timeout",),
    times_of_release=_timeout_of_update,
    checks_id=True,
)
_DELETE: Final = Route(
    name="delete_endpoint",
    handler=delete_endpoint,
    action=InferenceAction.DELETE,
    flags=("dry_run", "force"),
)

_ENDPOINT: Final = {"GET": _GET_ONE, "POST": _INFER, "PUT": _PUT, "DELETE": _DELETE}
ROUTES: Final[dict[str, dict[str, Route]]] = {
    "/_inference": {"GET": _GET_ALL},
    "/_inference/_all": {"GET": _GET_ALL},
    "/_inference/_services": {"GET": _GET_SERVICES},
    "/_inference/_services/{task_type}": {"GET": _GET_SERVICES},
    "/_inference/.diagnostics": {"GET": _GET_DIAGNOSTICS},
    "/_inference/{task_type_or_id}": _ENDPOINT,
    "/_inference/{task_type_or_id}/_stream": {"POST": _STREAM},
    "/_inference/{task_type_or_id}/_update": {"PUT": _UPDATE},
    "/_inference/{task_type_or_id}/{inference_id}": _ENDPOINT,
    "/_inference/{task_type_or_id}/{inference_id}/_stream": {"POST": _STREAM},
    "/_inference/{task_type_or_id}/{inference_id}/_update": {"PUT": _UPDATE},
}
PATHS: Final = PathTrie(ROUTES)


@remembered
def match_of(path: str) -> Match | None:
    """The pattern of an undecoded path, and its parameters; None where no pattern fits."""
    return PATHS.match(segments_of(path))


@remembered
def endpoint_path_of(target: str) -> EndpointPath:
    """The endpoints of a target that has a pattern. Raises: StatusError 400, as `parse_path`."""
    said = read_target(target)
    match = match_of(said.path)
    return parse_path({} if match is None else match.parameters, said.parameters)
