"""Making aiohttp's responses: documents and errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from itertools import chain
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from proxy.api.call import Call
from proxy.api.keys import LIMIT, ORIGIN_HEADERS, REFUSED, RESPONDER, STARTED
from proxy.ground.errors import Cause, PlainError, ProxyError
from proxy.ground.frames import forget_frames
from proxy.http1 import whole_answer
from proxy.limits.memory import PER_BODY_BYTE, PER_HEADER, hold_at_least, hold_only
from proxy.limits.threads import offload
from proxy.rest.request import parse_request
from proxy.rest.responder import Responder, RestResponse, responder_for

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

QUICKLY_WRITTEN: Final = 64 * 1024  # bytes of an answer, or an event, about
_ORDINARY_HEAD: Final = 16 * 1024  # bytes
_PATIENCE: Final = 300.0  # seconds for a caller to read an answer, as in the lane


# Errors


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
        answer = _responder(request).error(error)
        whole = _whole(request, answer)
        hold_only(held_by_head(request) + whole.size)
        return await _written(request, whole)


def begin(request: web.Request, response: web.StreamResponse) -> None:
    """The head of the answer is about to be written: nothing else can be answered from here on."""
    request[STARTED] = True
    _add_origin_headers(request, response.headers)
    if _is_unclear(request):
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"


def start(request: web.Request, headers: CIMultiDict[str]) -> bool:
    """As `begin`, for an answer that aiohttp does not make; whether its connection is kept."""
    request[STARTED] = True
    return _completed(request, headers)


def _completed(request: web.Request, headers: CIMultiDict[str]) -> bool:
    """Add what is still missing in the headers of an answer; whether its connection is kept."""
    _add_origin_headers(request, headers)
    return bool(request.keep_alive) and not _is_unclear(request)


def _add_origin_headers(request: web.Request, headers: CIMultiDict[str]) -> None:
    """The upstream's own answers have these headers already."""
    if more := request.get(ORIGIN_HEADERS):
        present = {name.lower() for name in headers}
        headers.extend(pair for pair in more if pair[0].lower() not in present)


def _is_unclear(request: web.Request) -> bool:
    """Whether no more must be read from its connection.

    After a refused request nobody knows where the next one begins; after a chunked one aiohttp's
    parser takes the trailers of its body for headers of the next.
    """
    return REFUSED in request or hdrs.TRANSFER_ENCODING in request.headers


def _limit_of(error: ProxyError | Cause | None) -> str | None:
    while isinstance(error, ProxyError) and error.limit is None:
        error = error.cause
    return error.limit if isinstance(error, ProxyError) else None


def _responder(request: web.Request) -> Responder:
    """The request's responder; a new one where it has failed before it was looked into."""
    if RESPONDER in request:
        return request[RESPONDER]
    return responder_for(parse_request(request.method, request.raw_path, request.headers))


# Documents


async def document(responder: Responder, body: Any) -> RestResponse:
    """The answer 200, encoded beside the event loop if it is large."""
    work = responder.work(body, QUICKLY_WRITTEN)
    if work <= QUICKLY_WRITTEN:
        return responder.document(200, body, is_light=True)
    return await offload(work, QUICKLY_WRITTEN, lambda: responder.document(200, body))


def send_document(
    request: web.Request, call: Call, answer: RestResponse, held: int
) -> Awaitable[web.StreamResponse]:
    """The response, once it is written; `held` bytes are in use besides. Raises: MemoryShort."""
    if call.warnings:
        answer.headers.extend(("Warning", warning) for warning in call.warnings)
    whole = _whole(request, answer)
    hold_at_least(held + whole.size)
    return _written(request, whole)


def allowed_methods(responder: Responder, methods: Collection[str]) -> web.Response:
    """The answer to OPTIONS."""
    answer = responder.empty()
    if methods:
        answer.headers["Allow"] = ",".join(methods)
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def ended_by_origin(status: int) -> web.Response:
    """The answer to a preflight, or to a request whose origin is refused: headers alone."""
    return web.Response(status=status)


def held_by_head(request: web.Request) -> int:
    """Bytes that the head of a request takes, beyond what an ordinary one does."""
    headers = request.raw_headers
    size = len(request.raw_path) + sum(map(len, chain.from_iterable(headers)))
    held = len(headers) * PER_HEADER + size * PER_BODY_BYTE
    return max(0, held - _ORDINARY_HEAD)


class WholeAnswer(web.StreamResponse):
    """An answer that is written byte for byte: no stage of aiohttp's makes it, or adds to it."""

    def __init__(self, status: int, data: bytes, *, keep_alive: bool) -> None:
        # Not aiohttp's own, which prepares what a head would be made of.
        self._status = status
        self._data = data
        self._keep_alive = keep_alive

    @property
    def size(self) -> int:
        """Bytes that are still to be written."""
        return len(self._data)

    @property
    def is_written(self) -> bool:
        return not self._data

    def write_to(self, request: web.BaseRequest, transport: asyncio.WriteTransport) -> None:
        data, self._data = self._data, b""
        request.writer.output_size += len(data)  # aiohttp sees by it that all is answered
        transport.write(data)

    async def prepare(self, request: web.BaseRequest) -> None:
        if self._data and (transport := request.transport) is not None:
            self.write_to(request, transport)

    async def write_eof(self, data: bytes = b"") -> None:
        """`prepare` has written everything."""


def _whole(request: web.Request, answer: RestResponse) -> WholeAnswer:
    keep_alive, headers = _completed(request, answer.headers), answer.headers.items()
    method = request.method.encode()
    data = whole_answer(answer.status, headers, answer.body, method=method, keep_alive=keep_alive)
    return WholeAnswer(answer.status, data, keep_alive=keep_alive)


def sent(request: web.Request, answer: RestResponse) -> Awaitable[web.StreamResponse]:
    """The response, written to its last byte: until then it counts as memory in use."""
    return _written(request, _whole(request, answer))


async def _written(request: web.Request, response: WholeAnswer) -> web.StreamResponse:
    request[STARTED] = True
    if (transport := request.transport) is None:
        return response  # nobody is there any more
    response.write_to(request, transport)
    if transport.get_write_buffer_size():
        transport.set_write_buffer_limits(high=0)  # so that the wait is for the last byte
        with suppress(ConnectionError):  # nobody wants it any more
            await _drained(request.writer, transport)
    return response


async def _drained(writer: AbstractStreamWriter, transport: asyncio.WriteTransport) -> None:
    late = asyncio.get_running_loop().call_later(_PATIENCE, transport.abort)
    try:
        await writer.drain()
    finally:
        late.cancel()
