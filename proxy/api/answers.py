"""Making aiohttp's responses: documents, event streams and errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final

from aiohttp import web

from proxy.api.call import Call, Events
from proxy.api.keys import LIMIT, ORIGIN_HEADERS, RESPONDER, STARTED
from proxy.authorization import confirm_stream
from proxy.errors import Cause, PlainError, ProxyError
from proxy.frames import forget_frames
from proxy.rest.request import parse_request
from proxy.rest.responder import Responder, RestResponse, responder_for
from proxy.sse import DONE
from proxy.xcontent.values import Json

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LARGE: Final = 64 * 1024  # bytes of an answer


# Errors


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The only place where an exception becomes a response."""
    try:
        return await handler(request)
    except Exception as error:
        if request.get(STARTED):
            raise  # headers are out: aiohttp cuts the connection, the only honest end
        if isinstance(error, web.HTTPException):
            error = PlainError(error.status, error.reason)
        if not isinstance(error, ProxyError):
            log.exception("unhandled error: %s", request.method)
            error = ProxyError("internal error")
        forget_frames(error)
        if (limit := _limit_of(error)) is not None:
            request[LIMIT] = limit
        return _web_response(_responder(request).error(error))


async def mark_started(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: from here on nothing else can be answered."""
    request[STARTED] = True


async def add_origin_headers(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal; the upstream's own answers have these headers already."""
    if headers := request.get(ORIGIN_HEADERS):
        present = {name.lower() for name in response.headers}
        response.headers.extend(pair for pair in headers if pair[0].lower() not in present)


def _limit_of(error: ProxyError | Cause | None) -> str | None:
    while isinstance(error, ProxyError) and error.limit is None:
        error = error.cause
    return error.limit if isinstance(error, ProxyError) else None


def _responder(request: web.Request) -> Responder:
    """That of the request; one of its own for what fails before the request is looked into."""
    if RESPONDER in request:
        return request[RESPONDER]
    return responder_for(parse_request(request.method, request.raw_path, request.headers))


# Documents


async def send_document(request: web.Request, call: Call, answer: RestResponse) -> web.Response:
    """The response; a large one is sent here, while its bytes still count as memory in use."""
    answer.headers.extend(("Warning", warning) for warning in call.warnings)
    response = _web_response(answer)
    if len(answer.body) > _LARGE:
        await response.prepare(request)
        await response.write_eof()
        response.body = None  # aiohttp keeps the last response of a connection
    return response


def allowed_methods(responder: Responder, methods: Collection[str]) -> web.Response:
    """The answer to OPTIONS."""
    answer = responder.empty()
    if methods:
        answer.headers["Allow"] = ",".join(methods)
    return _web_response(answer)


def ended_by_origin(status: int) -> web.Response:
    """The answer to a preflight, or to a request whose origin is refused: headers alone."""
    return web.Response(status=status)


def _web_response(answer: RestResponse) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


# Events


async def send_events(request: web.Request, call: Call, opening: Events) -> web.StreamResponse:
    """Stream events; a failure before the provider has begun to answer keeps its status."""
    responder = call.responder
    async with opening as events:
        response = web.StreamResponse(headers=responder.stream_headers())
        response.headers.extend(("Warning", warning) for warning in call.warnings)
        coding = responder.stream_coding()
        if coding is not None:
            response.headers["content-encoding"] = coding.name
        await response.prepare(request)
        async for frame in _frames(responder, events):
            await response.write(frame if coding is None else coding.encode(frame))
        await response.write_eof(b"" if coding is None else coding.end())
    return response


async def _frames(responder: Responder, events: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    """The bytes of each event, and of how the stream ended: `[DONE]`, or one error event."""
    try:
        async for event in events:
            await confirm_stream()
            yield responder.event(event)
    except ProxyError as error:
        log.info("stream ended by %s", error.type)
        forget_frames(error)
        yield responder.error_event(error)
    else:
        yield DONE
