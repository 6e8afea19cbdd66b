"""A request's way to its handler and back, in Elasticsearch's order of checks.

Authentication, route, content type, path, body, parameters, validation, authorization, action: what
is wrong is told in that order. Requests that prove not to be ours go upstream.
Source: RestController, BaseRestHandler, SecurityRestFilter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.compatibility import DEFAULT, Profile
from proxy.config import LimitsConfig
from proxy.endpoints import TaskType, check_inference_id, parse_task_type
from proxy.errors import (
    NoInferenceFeature,
    PlainError,
    ProxyError,
    StatusError,
    forget_frames,
)
from proxy.handlers import ROUTES, Call, Events, Route
from proxy.limits import PER_BODY_BYTE, Limits, address_of_caller, hold
from proxy.privileges import Privilege
from proxy.rest import NoRoute, RestRequest, RestResponse, match_path, no_handler, wrong_method
from proxy.service import InferenceService
from proxy.sse import DONE, encode_event
from proxy.store import left_out, served_stale, shown
from proxy.validation import Json
from proxy.xcontent import Bounds

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REST: Final = web.RequestKey("rest", RestRequest)
_STARTED: Final = web.RequestKey("started", bool)
ROUTE: Final = web.RequestKey("route", str)  # for the metrics: who answers,
LIMIT: Final = web.RequestKey("limit", str)  # and the limit that was hit
_BODY_TIMEOUT: Final = 60.0  # seconds for the next bytes of a body
_UNPRIVILEGED: Final = 1024 * 1024  # bytes that are read for a caller who will be refused
_LARGE_ANSWER: Final = 64 * 1024  # bytes


class Verdict(Protocol):
    """Whether an authenticated caller may do what it asks for."""

    @property
    def allowed(self) -> bool: ...

    @property
    def checked(self) -> bool:
        """Whether the caller's credentials are its own, for all that anybody knows."""

    async def refusal(self) -> ProxyError:
        """The 403 to be answered."""


class Authorizer(Protocol):
    """Asks whether callers may; see Privileges."""

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: str) -> Verdict:
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
        limits: Limits | None = None,
    ) -> None:
        self._profile = profile
        self._limits = limits or Limits(LimitsConfig())
        config = self._limits.config
        self._bounds = Bounds(nesting=config.nesting, values=config.values)
        self._service = service
        self._authorizer = authorizer
        self._upstream = upstream

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Our answer, or the upstream's where the request is not ours."""
        with self._limits.memory():
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
                if _REST in request:
                    request[_REST].forget_body()

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
        request[ROUTE] = route.handler.__name__
        rest.bounds = self._bounds
        try:
            rest.take_body(await self._read(request, rest, verdict))
        except _TooLarge:
            raise await self._too_large(verdict) from None
        call = self._prepare(request, rest, route, match.parameters)
        rest.answers_events = route.streams
        if route.checks_id:
            check_inference_id(call.inference_id)
        if not verdict.allowed:
            raise await verdict.refusal()
        with self._room(request, route, verdict):
            if route.streams:
                return await _send_events(request, rest, await route.handler(call))
            answer = rest.respond(200, await route.handler(call))
        _with_warning(answer.headers)
        return await _sent(request, answer)

    def _room(
        self, request: web.Request, route: Route, verdict: Verdict
    ) -> AbstractContextManager[None]:
        """What must be free for the route to be taken."""
        if not route.streams:
            return self._limits.call() if route.has_body else nullcontext()
        # Credentials that nobody has looked at could be others each time.
        credentials = request.headers if verdict.checked else {}
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

    async def _read(self, request: web.Request, rest: RestRequest, verdict: Verdict) -> bytes:
        """The body, decoded. Raises: _TooLarge; MemoryShort."""
        limit = request.client_max_size
        if not verdict.allowed:
            limit = min(limit, _UNPRIVILEGED)
        if (request.content_length or 0) > limit:
            raise _TooLarge
        body = rest.raw_body = await _collected(_pieces(request), limit)
        if body and rest.is_encoded():
            body = await _collected(_in_turns(rest.inflated(body)), limit)
        return body

    async def _too_large(self, verdict: Verdict) -> ProxyError:
        if not verdict.allowed:
            return await verdict.refusal()
        return PlainError(413, "request body is too large").of_limit("inference_body")

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


def _address(request: web.Request) -> str:
    """The caller's own, whoever made this connection for it."""
    told = address_of_caller.get()
    return (request.remote or "") if told is None else told()


def _raw_body(request: web.Request) -> bytes | None:
    """The body as it came; None if it has not been read."""
    return request[_REST].raw_body if _REST in request else None


class _TooLarge(Exception):
    """The body is larger than what may be read of it."""


async def _collected(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    """All pieces, counted as they come. Raises: _TooLarge; MemoryShort."""
    data = bytearray()
    async for piece in pieces:
        hold(len(piece) * PER_BODY_BYTE)
        data += piece
        if len(data) > limit:
            raise _TooLarge
    return bytes(data)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: StatusError 408 when it does not go on."""
    content = request.content
    while not content.at_eof():
        if content.is_eof():  # it is all here
            yield await content.readany()
            continue
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                piece = await content.readany()
        except TimeoutError:
            raise StatusError(408, "the request's body did not come in time") from None
        yield piece


async def _in_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, with time for others between them."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


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
        forget_frames(error)
        if (limit := _limit_of(error)) is not None:
            request[LIMIT] = limit
        rest = request.get(_REST)
        if rest is None:
            rest = RestRequest(request.method, request.raw_path, request.headers)
        return _error_response(rest, error)


def _limit_of(error: ProxyError | None) -> str | None:
    while error is not None and error.limit is None:
        error = error.cause
    return None if error is None else error.limit


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
    answer.headers.update(CIMultiDict(error.headers))
    return _web_response(answer)


def _web_response(answer: RestResponse) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def _sent(request: web.Request, answer: RestResponse) -> web.Response:
    """The response; a large one is written here, where it still counts as held."""
    response = _web_response(answer)
    if len(answer.body) > _LARGE_ANSWER:
        await response.prepare(request)
        await response.write_eof()
        response.body = None  # the connection remembers its last response
    return response


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
            '299 Elasticsearch "the endpoint store cannot be used, '
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
        forget_frames(error)
        yield encode_event(rest.encode(error.envelope()), b"error")
    else:
        yield DONE
