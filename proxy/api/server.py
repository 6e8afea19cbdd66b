"""aiohttp's server as it stands behind the lane's pipes.

A request that is not HTTP never reaches the application. On its own, aiohttp would answer it with a
text that quotes the caller's bytes, and log them; here it is answered as the lane does.

All others go to the application's only route, each in one task. On its own, aiohttp would look for
the route, have a second task for the connection, and a timer for its end, which is the lane's. A
request whose head is like the last one on its connection is not parsed again; nor is the first one
of a connection, if another has just had one like it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, cast

from aiohttp import StreamReader, hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, EmptyStreamReader
from aiohttp.web_protocol import ERROR, _ErrInfo
from aiohttp.web_urldispatcher import UrlMappingMatchInfo
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.api.answers import WholeAnswer
from proxy.api.keys import OF_HEAD
from proxy.api.routes import ROUTES, match_of
from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.http1 import error_answer
from proxy.http1.headers import Template
from proxy.rest.request import parse_request
from proxy.rest.routing import wrong_method

log: Final = logging.getLogger(__name__)

# A request line whose method aiohttp's parser may not know; the lane passes the same ones on.
_UNUSUAL: Final = re.compile(
    rb"(?!(?:GET|POST|PUT|DELETE|HEAD|OPTIONS) )([A-Z][A-Z_-]{0,30}+) (/[!-\"$-~]*+)"
    rb" HTTP/1\.[01]\r\n"
)
_UNHEARD: Final = (
    "Invalid method encountered",
    "Invalid method for HTTP",
    "Expected space after method",
)
_LONGEST_KNOWN: Final = 4096  # bytes of a head that is kept, to recognise others by it

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Runner(web.AppRunner):
    """An AppRunner that makes `_Connection`s, for an application with one route."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            _handler_of(self.app),
            request_factory=partial(
                _Request, loop=made._loop, client_max_size=self.app._client_max_size
            ),
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


def _handler_of(app: web.Application) -> _Handler:
    """What the application does with a request, without looking for its route first."""
    (route,) = app.router.routes()
    (middleware,) = app.middlewares
    handler = route.handler
    match = UrlMappingMatchInfo({}, route)
    match.add_app(app)
    match.freeze()

    def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        assert isinstance(request, _Request)
        request._match_info = match
        if hdrs.EXPECT in request.headers:
            return handle_expecting(request)
        answer: Awaitable[web.StreamResponse] = middleware(request, handler)
        return answer

    async def handle_expecting(request: _Request) -> web.StreamResponse:
        await route.handle_expect_header(request)
        await request.writer.drain()
        return await middleware(request, handler)

    return handle


class _Request(web.Request):
    """A request that tells quickly which notes it has; aiohttp's raises an error for each it lacks.

    So it does of its application, which is the only one.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return self._state.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._state

    def __setitem__(self, key: Any, value: Any) -> None:
        self._state[key] = value

    @property
    def app(self) -> web.Application:
        match = self._match_info
        assert match is not None
        return match._current_app  # type: ignore[return-value]  # `_handler_of` has added it


class _KnownHead:
    """The head of a request that came as a whole, by which the next one like it is recognised.

    That one may differ in the value of Content-Length. `notes` are kept for all such requests.
    """

    __slots__ = ("_length", "_template", "message", "notes")

    def __init__(self, template: Template, message: RawRequestMessage, length: int) -> None:
        self._template = template
        self.message = message  # of the last such request
        self._length = length  # of its body
        self.notes: dict[str, Any] = {}

    def body_of(self, data: bytes) -> bytes | None:
        """The body of the request that `data` is, if it is one with this head."""
        found = self._template.fit(data, 0)
        if found is None or found[0] + found[1] != len(data):
            return None
        end, length = found
        if length != self._length:
            self._note_length(length)
        return data[end:]

    def _note_length(self, length: int) -> None:
        digits = str(length)
        headers = CIMultiDict(self.message.headers)
        headers[hdrs.CONTENT_LENGTH] = digits
        raw = tuple(
            (name, digits.encode()) if name.lower() == b"content-length" else (name, value)
            for name, value in self.message.raw_headers
        )
        self.message = self.message._replace(headers=CIMultiDictProxy(headers), raw_headers=raw)
        self._length = length


class _WholeBody(EmptyStreamReader):
    """The body of a request, of which all has come: as a StreamReader, but nobody waits for it."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data
        self.total_bytes = len(data)

    def at_eof(self) -> bool:
        return not self._data

    def read_nowait(self, n: int = -1) -> bytes:
        n = len(self._data) if n < 0 else n
        data, self._data = self._data[:n], self._data[n:]
        return data

    async def read(self, n: int = -1) -> bytes:
        return self.read_nowait(n)

    async def readany(self) -> bytes:
        return self.read_nowait()

    async def readchunk(self) -> tuple[bytes, bool]:
        return (self.read_nowait(), False) if self._data else await super().readchunk()


class _Server(web.Server):
    known: _KnownHead | None = None  # the last one that was parsed, on any connection

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_context", "_head", "_known", "_last", "_notes", "_server", "_unusual")

    def __init__(self, manager: _Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._server = manager

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head = 0  # bytes of a head that is not complete
        self._last: StreamReader | None = None  # the body of the last request
        self._known: _KnownHead | None = None
        self._notes: dict[str, Any] | None = None  # of the head of the next request
        self._context = copy_context()  # in which the lane tells whose connection it is
        BaseProtocol.connection_made(self, transport)
        assert self._manager is not None
        self._manager.connection_made(self, cast(asyncio.Transport, transport))

    async def start(self) -> None:
        """Answer the next of the requests that have come."""
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        assert self._manager is not None
        assert self._request_factory is not None
        self._manager.requests_count += 1
        handler = self._request_handler
        if isinstance(message, _ErrInfo):
            handler, message = self._make_error_handler(message), ERROR
        assert handler is not None
        assert self._task_handler is not None  # no variable: its error may refer to this frame
        request = self._request_factory(
            message, payload, self, StreamWriter(self, self._loop), self._task_handler
        )
        notes, self._notes = self._notes, None
        request[OF_HEAD] = {} if notes is None else notes
        keeps = False
        try:
            response, is_lost = await self._handle_request(request, None, handler)
            if not payload.is_eof():
                await self._drop(payload)
            keeps = bool(response.keep_alive) and payload.is_eof() and not is_lost
        except ConnectionError:
            if self.transport is not None and not self.transport.is_closing():
                raise  # aiohttp's, for an error amid an answer
            # else the caller has left, and writing found out before anything else
        finally:
            request._task = None  # type: ignore[assignment]  # which refers to the request
            self._end_request(keeps=keeps)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """End an answer; nothing is left to be done for one that has been written already."""
        if type(resp) is WholeAnswer and resp.is_written and not self._upgraded:
            return resp, False
        return await super().finish_response(request, resp, start_time)

    async def _drop(self, payload: StreamReader) -> None:
        """Read what the caller still sends of a body that nobody wants, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lingering_time):
                while not payload.is_eof():
                    await payload.readany()

    def _end_request(self, *, keeps: bool) -> None:
        """Go on with the next request if the connection is kept."""
        self._task_handler = None
        if self._force_close:
            return
        if not keeps or self._close:
            self.force_close()
        elif self._messages:
            self._start_request()

    def _start_request(self) -> None:
        context = self._context.copy()  # each request has one of its own
        self._task_handler = self._loop.create_task(self.start(), context=context)

    def data_received(self, data: bytes) -> None:
        is_idle = self._is_idle()
        known = self._known or self._server.known
        if not is_idle or len(data) > self._read_bufsize:
            known = None
        if known is not None and (body := known.body_of(data)) is not None:
            self._known, self._notes = known, known.notes
            self._request_count += 1
            self._messages.append((known.message, _WholeBody(body) if body else EMPTY_PAYLOAD))
            self._start_request()
            return
        # Of a request that it cannot read, aiohttp tells nothing reliable.
        self._unusual = _UNUSUAL.match(data)
        heads, in_head = self._request_count, self._last is None or self._last.is_eof()
        super().data_received(data)
        if self._request_count > heads and self._messages:
            self._last, self._head = self._messages[-1][1], 0
            self._known = self._known_by(data) if is_idle else None
            if self._known is not None:
                self._server.known, self._notes = self._known, self._known.notes
        elif in_head:
            self._limit_head(len(data))
        if self._messages and (self._task_handler is None or self._task_handler.done()):
            self._start_request()

    def _is_idle(self) -> bool:
        """Whether what comes next is the beginning of a request that is answered at once."""
        task = self._task_handler
        if self._messages or not (task is None or task.done()):
            return False
        is_over = self._last is None or self._last.is_eof()
        return is_over and not (self._head or self._upgraded or self._close or self._force_close)

    def _known_by(self, data: bytes) -> _KnownHead | None:
        """The head of the request that `data` is, if others like it can be recognised by it."""
        message, payload = self._messages[-1]
        end = data.find(b"\r\n\r\n") + 4
        length = len(data) - end
        is_whole = len(self._messages) == 1 and payload.is_eof() and payload.total_bytes == length
        if not is_whole or not 4 < end <= _LONGEST_KNOWN or isinstance(message, _ErrInfo):
            return None
        template = Template(data[:end])
        is_sized = hdrs.CONTENT_LENGTH in message.headers
        if message.chunked or message.upgrade or template.sized != is_sized:
            return None
        return _KnownHead(template, message, length)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, if reading was paused: else aiohttp would only run its parser in vain."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _limit_head(self, size: int) -> None:
        """Refuse a head that is too long as a whole: aiohttp limits each of its lines only."""
        self._head += size
        if self._head <= self.max_field_size or self.transport is None:
            return
        if self._current_request is None:
            error = StatusError(431, "the request's head is too large")
            self.transport.write(error_answer(error, method=b"", keep_alive=False))
            self.force_close()
        else:
            self.transport.abort()  # an answer is under way

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that is not HTTP; its connection is closed."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        refusal = _refusal(exc)
        log.info("refused: %s", refusal.reason)
        error = self._unheard_method(exc) or refusal
        return WholeAnswer(
            error.status, error_answer(error, method=b"", keep_alive=False), keep_alive=False
        )

    def _unheard_method(self, error: HttpProcessingError) -> ProxyError | None:
        """405 if all that is wrong is that the request has a method that nobody knows."""
        said = error.message.partition("\n\n")[0]  # what follows are the caller's bytes
        if self._unusual is None or not any(text in said for text in _UNHEARD):
            return None
        method, target = (part.decode() for part in self._unusual.groups())
        request = parse_request(method, target, CIMultiDictProxy(CIMultiDict()))
        match = match_of(request.path)
        return wrong_method(request, () if match is None else ROUTES[match.pattern])


def _refusal(error: HttpProcessingError) -> ProxyError:
    """What the caller is told: the parser's message without the bytes that it quotes."""
    if isinstance(error, LineTooLong):
        return StatusError(431, "the request's head is too large")
    words = "Invalid target" if isinstance(error, InvalidURLError) else error.message
    return IllegalArgument(f"invalid HTTP request: {words.partition(':')[0]}")
