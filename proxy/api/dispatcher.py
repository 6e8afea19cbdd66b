"""A request's way to its handler and back, in Elasticsearch's order of checks.

Authentication, route, content type, path, body, parameters, validation, authorization, action: what
is wrong is told in that order. Requests that prove not to be ours go upstream.
Source: RestController, BaseRestHandler, SecurityRestFilter.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

import orjson
from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.api.answers import REST, allowed_methods, send_events, sent, with_warning
from proxy.api.bodies import TooLarge, collected, in_turns, pieces_of
from proxy.api.call import Call
from proxy.api.routes import ROUTES, Route
from proxy.authorization import Action, Allowed, Refused, Verdict
from proxy.errors import NoInferenceFeature, PlainError, ProxyError
from proxy.inference.actions import InferenceAction
from proxy.inference.endpoints import TaskType
from proxy.inference.ids import check_inference_id
from proxy.inference.releases import DEFAULT, Profile
from proxy.inference.service import InferenceService
from proxy.inference.tasktypes import parse_task_type
from proxy.limits.calls import CallLimits, address_of_caller
from proxy.limits.memory import MemoryBudget
from proxy.rest.request import RestRequest
from proxy.rest.routing import NoRoute, match_path, no_handler, wrong_method
from proxy.xcontent.document import Bounds

log = logging.getLogger(__name__)
ROUTE: Final = web.RequestKey("route", str)  # for the metrics: who answers,
_UNPRIVILEGED: Final = 1024 * 1024  # bytes that are read for a caller who will be refused


class Authorizer(Protocol):
    """Asks whether callers may; see Privileges."""

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: Action) -> Verdict:
        """Raises: the upstream's own 401; UpstreamError when nobody can tell."""


class Upstream(Protocol):
    """The Elasticsearch behind us, as far as `_inference` requests concern it; see Forwarder."""

    async def hand_on_inference(
        self, request: web.Request, body: bytes | None
    ) -> web.StreamResponse:
        """Its answer passed on; `body`, if it has been read.

        Raises: NoInferenceFeature where it has no inference plugin.
        """

    async def fetch(
        self, request: web.Request, target: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """Its answer to GET `target`, asked as the caller of `request`."""


class InferenceApi:
    """Answers `_inference` requests. Errors are raised; `render_errors` makes answers of them."""

    def __init__(
        self,
        service: InferenceService,
        authorizer: Authorizer,
        upstream: Upstream | None,
        profile: Profile = DEFAULT,
        *,
        limits: CallLimits,
        memory: MemoryBudget,
    ) -> None:
        self._profile = profile
        self._limits = limits
        self._memory = memory
        config = self._limits.config
        self._bounds = Bounds(nesting=config.nesting, values=config.values)
        self._service = service
        self._authorizer = authorizer
        self._upstream = upstream

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Our answer, or the upstream's where the request is not ours."""
        with self._memory.request():
            try:
                return await self._answer(request)
            except ProxyError as error:
                if not error.not_ours or self._upstream is None:
                    raise
                try:
                    return await self._upstream.hand_on_inference(request, _raw_body(request))
                except NoInferenceFeature:
                    raise error from None
            finally:
                if REST in request:
                    request[REST].forget_body()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        rest = request[REST] = RestRequest(
            request.method, request.raw_path, request.headers, major=self._profile.major
        )
        try:
            match = match_path(rest.segments(), ROUTES)
        except NoRoute:
            if rest.method == "OPTIONS":
                return allowed_methods(rest, [])
            raise no_handler(rest) from None
        methods = ROUTES[match.pattern]
        if rest.method == "OPTIONS":
            return allowed_methods(rest, list(methods))
        route = methods.get(rest.method)
        action = InferenceAction.GET if route is None else route.action
        verdict = await self._authorizer.check(request.headers, rest.target, action)
        if rest.problem is not None:
            raise rest.problem
        if route is None:
            raise wrong_method(rest, list(methods))
        request[ROUTE] = route.handler.__name__
        rest.bounds = self._bounds
        try:
            rest.take_body(await self._read(request, rest, verdict))
        except TooLarge:
            raise await _too_large(verdict) from None
        call = self._prepare(request, rest, route, match.parameters)
        rest.answers_events = route.streams
        if route.checks_id:
            check_inference_id(call.inference_id)
        if isinstance(verdict, Refused):
            raise await verdict.error()
        with self._room(request, route, verdict):
            if route.streams:
                return await send_events(request, call, await route.handler(call))
            answer = rest.respond(200, await route.handler(call))
        with_warning(answer.headers, call.warning)
        return await sent(request, answer)

    def _room(
        self, request: web.Request, route: Route, verdict: Allowed
    ) -> AbstractContextManager[None]:
        """What must be free for the route to be taken."""
        if not route.streams:
            return self._limits.call() if route.has_body else nullcontext()
        # Credentials that nobody has looked at could be others each time.
        credentials = request.headers if verdict.authenticated else {}
        return self._limits.stream(self._limits.caller_of(credentials, _address(request)))

    def _prepare(
        self, request: web.Request, rest: RestRequest, route: Route, in_path: dict[str, str]
    ) -> Call:
        """The call, once everything that needs no permission has been checked."""
        task_type, inference_id = _path_parameters(rest, in_path)
        if route.has_body:
            rest.require_body()
        call = Call(
            rest=rest,
            service=self._service,
            profile=self._profile,
            max_inputs=self._limits.config.inputs,
            task_type=task_type,
            inference_id=inference_id,
            fetch=lambda path: self._fetch(request, path),
        )
        times = route.times
        if route.action is InferenceAction.UPDATE and self._profile.update.takes_timeout:
            times = (*times, "timeout")
        for name in times:
            call.times[name] = rest.time(name)
        for name in (*route.flags, "pretty", "human"):
            call.flags[name] = rest.boolean(name)
        rest.refuse_unknown_parameters()
        if not route.has_body:
            rest.refuse_body()
        return call

    async def _read(self, request: web.Request, rest: RestRequest, verdict: Verdict) -> bytes:
        """The body, decoded. Raises: TooLarge; MemoryShort."""
        limit = request.client_max_size
        if isinstance(verdict, Refused):
            limit = min(limit, _UNPRIVILEGED)
        if (request.content_length or 0) > limit:
            raise TooLarge
        body = rest.raw_body = await collected(pieces_of(request), limit)
        if body and rest.is_encoded():
            body = await collected(in_turns(rest.inflated(body)), limit)
        return body

    async def _fetch(self, request: web.Request, path: str) -> Any:
        """The upstream's own answer, None where it has none: an id may exist on either side."""
        if self._upstream is None:
            return None
        status, _, body = await self._upstream.fetch(request, path)
        try:
            return orjson.loads(body) if status == 200 else None
        except orjson.JSONDecodeError:
            return None


async def _too_large(verdict: Verdict) -> ProxyError:
    if isinstance(verdict, Refused):
        return await verdict.error()
    return PlainError(413, "request body is too large").of_limit("inference_body")


def _path_parameters(rest: RestRequest, in_path: dict[str, str]) -> tuple[TaskType, str]:
    """Task type and inference id; a lone first segment is the id, whatever it looks like.

    Query parameters of the same names fill in what the path lacks. Raises: StatusError 400.
    """
    rest.parameters.update(in_path)
    if "task_type" in in_path:
        return parse_task_type(rest.parameter("task_type") or ""), ""
    if "task_type_or_id" not in in_path:
        return TaskType.ANY, ""
    first, inference_id = rest.parameter("task_type_or_id"), rest.parameter("inference_id")
    if inference_id is None:
        return TaskType.ANY, first or ""
    return parse_task_type(first or ""), inference_id


def _address(request: web.Request) -> str:
    """The caller's own, whoever made this connection for it."""
    told = address_of_caller.get()
    return (request.remote or "") if told is None else told()


def _raw_body(request: web.Request) -> bytes | None:
    """The body as it came; None if it has not been read."""
    return request[REST].raw_body if REST in request else None
