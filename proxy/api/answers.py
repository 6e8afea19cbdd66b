"""Making responses: results, event streams and errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from proxy.api.call import Call, Events
from proxy.errors import Cause, PlainError, ProxyError, forget_frames
from proxy.rest.request import RestRequest
from proxy.rest.response import RestResponse
from proxy.sse import DONE, encode_event
from proxy.xcontent.values import Json

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REST: Final = web.RequestKey("rest", RestRequest)
_STARTED: Final = web.RequestKey("started", bool)
LIMIT: Final = web.RequestKey("limit", str)  # and the limit that was hit
_LARGE_ANSWER: Final = 64 * 1024  # bytes


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
        rest = request.get(REST)
        if rest is None:
            rest = RestRequest(request.method, request.raw_path, request.headers)
        return _error_response(rest, error)


def _limit_of(error: ProxyError | Cause | None) -> str | None:
    while isinstance(error, ProxyError) and error.limit is None:
        error = error.cause
    return error.limit if isinstance(error, ProxyError) else None


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


async def sent(request: web.Request, answer: RestResponse) -> web.Response:
    """The response; a large one is written here, where it still counts as held."""
    response = _web_response(answer)
    if len(answer.body) > _LARGE_ANSWER:
        await response.prepare(request)
        await response.write_eof()
        response.body = None  # the connection remembers its last response
    return response


def allowed_methods(rest: RestRequest, methods: Sequence[str]) -> web.Response:
    answer = rest.respond_bytes(200, b"", "text/plain; charset=UTF-8")
    if methods:
        answer.headers["Allow"] = ",".join(methods)
    return _web_response(answer)


async def send_events(request: web.Request, call: Call, opening: Events) -> web.StreamResponse:
    """Stream events; a failure before the provider has begun to answer is an ordinary error."""
    rest = call.rest
    async with opening as events:
        headers = rest.response_headers(200, "text/event-stream")
        response = web.StreamResponse(headers=with_warning(headers, call.warning))
        coding = rest.stream_coding()
        if coding is not None:
            response.headers["content-encoding"] = coding.name
        await response.prepare(request)
        async for frame in _frames(rest, events):
            await response.write(frame if coding is None else coding.encode(frame))
        await response.write_eof(b"" if coding is None else coding.end())
    return response


def with_warning(headers: CIMultiDict[str], warning: str | None) -> CIMultiDict[str]:
    if warning is not None:
        headers["Warning"] = warning
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
