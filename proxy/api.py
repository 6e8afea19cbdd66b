"""A request's way to its handler and back, in Elasticsearch's order of checks.

Authentication, route, content type, path, body, parameters, validation, authorization, action: what
is wrong is told in that order. Requests that prove not to be ours go upstream.
Source: RestController, BaseRestHandler, SecurityRestFilter.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.compatibility import DEFAULT, Profile
from proxy.endpoints import TaskType, check_inference_id, parse_task_type
from proxy.errors import NoInferenceFeature, PlainError, ProxyError
from proxy.handlers import ROUTES, Call, Events, Route
from proxy.privileges import Privilege
from proxy.rest import NoRoute, RestRequest, RestResponse, match_path, no_handler, wrong_method
from proxy.service import InferenceService
from proxy.sse import DONE, encode_event
from proxy.store import left_out, served_stale, shown
from proxy.validation import Json

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REST: Final = web.RequestKey("rest", RestRequest)
_STARTED: Final = web.RequestKey("started", bool)


class Verdict(Protocol):
    """Whether an authenticated caller may do what it asks for."""

    @property
    def allowed(self) -> bool: ...

    async def refusal(self) -> ProxyError:
        """The 403 to be answered."""


class Authorizer(Protocol):
    """Asks whether callers may; see Privileges."""

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: str) -> Verdict:
        """Raises: the upstream's own 401; UpstreamError when nobody can tell."""


class Upstream(Protocol):
    """The Elasticsearch behind us, as far as `_inference` requests concern it; see Forwarder."""

    async def hand_on_inference(self, request: web.Request) -> web.StreamResponse:
        """Its answer passed on. Raises: NoInferenceFeature where it has no inference plugin."""

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
    ) -> None:
        self._profile = profile
        self._service = service
        self._authorizer = authorizer
        self._upstream = upstream

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Our answer, or the upstream's where the request is not ours."""
        try:
            return await self._answer(request)
        except ProxyError as error:
            if not error.not_ours or self._upstream is None:
                raise
            try:
                return await self._upstream.hand_on_inference(request)
            except NoInferenceFeature:
                raise error from None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        served_stale.set(False)  # a connection's requests are one task
        left_out.set(())
        rest = request[_REST] = RestRequest(
            request.method, request.raw_path, request.headers, major=self._profile.major
        )
        try:
            match = match_path(rest.segments(), ROUTES)
        except NoRoute:
            if rest.method == "OPTIONS":
                return _allowed_methods(rest, [])
            raise no_handler(rest) from None
        methods = ROUTES[match.pattern]
        if rest.method == "OPTIONS":
            return _allowed_methods(rest, list(methods))
        route = methods.get(rest.method)
        action = Privilege.GET if route is None else route.action
        verdict = await self._authorizer.check(request.headers, rest.target, action)
        if rest.problem is not None:
            raise rest.problem
        if route is None:
            raise wrong_method(rest, list(methods))
        rest.take_body(await _read(request), request.client_max_size)
        call = self._prepare(request, rest, route, match.parameters)
        rest.answers_events = route.streams
        if route.checks_id:
            check_inference_id(call.inference_id)
        if not verdict.allowed:
            raise await verdict.refusal()
        result = await route.handler(call)
        if route.streams:
            return await _send_events(request, rest, result)
        answer = rest.respond(200, result)
        _with_warning(answer.headers)
        return _web_response(answer)

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
            task_type=task_type,
            inference_id=inference_id,
            fetch=lambda path: self._fetch(request, path),
        )
        times = route.times
        if route.action is Privilege.UPDATE and self._profile.update.takes_timeout:
            times = (*times, "timeout")
        for name in times:
            call.times[name] = rest.time(name)
        for name in (*route.flags, "pretty", "human"):
            call.flags[name] = rest.boolean(name)
        rest.refuse_unknown_parameters()
        if not route.has_body:
            rest.refuse_body()
        return call

    async def _fetch(self, request: web.Request, path: str) -> Any:
        """The upstream's own answer, None where it has none: an id may exist on either side."""
        if self._upstream is None:
            return None
        status, _, body = await self._upstream.fetch(request, path)
        try:
            return orjson.loads(body) if status == 200 else None
        except orjson.JSONDecodeError:
            return None


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


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise PlainError(413, "request body is too large") from None


# Answers


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The only place where an exception becomes a response."""
    try:
        return await handler(request)
    except Exception as error:
        if request.get(_STARTED):
            raise  # headers are out: aiohttp cuts the connection, the only honest end
        if isinstance(error, web.HTTPException):
            error = PlainError(error.status, error.reason)
        if not isinstance(error, ProxyError):
            log.exception("unhandled error: %s", request.method)
            error = ProxyError("internal error")
        rest = request.get(_REST)
        if rest is None:
            rest = RestRequest(request.method, request.raw_path, request.headers)
        return _error_response(rest, error)


async def mark_started(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: from here on nothing else can be answered."""
    request[_STARTED] = True


def _error_response(rest: RestRequest, error: ProxyError) -> web.Response:
    trace = f"{error.type}: {error.reason}" if rest.wants_trace() else None
    body = error.envelope(trace)
    if rest.answers_events:
        data = encode_event(rest.encode(body), b"error")
        answer = rest.respond_bytes(error.status, data, "text/event-stream")
    else:
        answer = rest.respond(error.status, body)
    for name, value in error.headers:
        answer.headers.add(name, value)
    return _web_response(answer)


def _web_response(answer: RestResponse) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _allowed_methods(rest: RestRequest, methods: Sequence[str]) -> web.Response:
    answer = rest.respond_bytes(200, b"", "text/plain; charset=UTF-8")
    if methods:
        answer.headers["Allow"] = ",".join(methods)
    return _web_response(answer)


async def _send_events(
    request: web.Request, rest: RestRequest, opening: Events
) -> web.StreamResponse:
    """Stream events; a failure before the provider has begun to answer is an ordinary error."""
    async with opening as events:
        headers = rest.response_headers(200, "text/event-stream")
        response = web.StreamResponse(headers=_with_warning(headers))
        coding = rest.stream_coding()
        if coding is not None:
            response.headers["content-encoding"] = coding.name
        await response.prepare(request)
        async for frame in _frames(rest, events):
            await response.write(frame if coding is None else coding.encode(frame))
        await response.write_eof(b"" if coding is None else coding.end())
    return response


def _with_warning(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Say so when an endpoint is used as it was before the store went away, or one is left out."""
    if served_stale.get():
        headers["Warning"] = (
            '299 Elasticsearch "the endpoint store cannot be reached, '
            'the configuration that was known last is used"'
        )
    if left_out.get():
        headers["Warning"] = (
            f'299 Elasticsearch "inference endpoints {shown(left_out.get())} are left out, '
            'their stored records cannot be used: GET one to see why"'
        )
    return headers


async def _frames(rest: RestRequest, events: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    """Each event for the wire, and how the stream ended: `[DONE]`, or one error event."""
    try:
        async for event in events:
            yield encode_event(rest.encode(event))
    except ProxyError as error:
        log.info("stream ended by %s", error.type)
        yield encode_event(rest.encode(error.envelope()), b"error")
    else:
        yield DONE
