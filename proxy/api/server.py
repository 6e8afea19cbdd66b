"""aiohttp's server, which answers a request that is not HTTP as the lane does.

Such a request never reaches the application. On its own, aiohttp would answer it with a text that
quotes the caller's bytes, and log them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.api.routes import PATHS, ROUTES
from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.http1 import error_answer
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


class Runner(web.AppRunner):
    """An AppRunner that makes `_Connection`s."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_head", "_last", "_unusual")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head = 0  # bytes of a head that is not complete
        self._last: StreamReader | None = None  # the body of the last request

    def data_received(self, data: bytes) -> None:
        # Of a request that it cannot read, aiohttp tells nothing reliable.
        self._unusual = _UNUSUAL.match(data)
        heads, in_head = self._request_count, self._last is None or self._last.is_eof()
        super().data_received(data)
        if self._request_count > heads and self._messages:
            self._last, self._head = self._messages[-1][1], 0
        elif in_head:
            self._limit_head(len(data))

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
        return _Refusal(error_answer(error, method=b"", keep_alive=False))

    def _unheard_method(self, error: HttpProcessingError) -> ProxyError | None:
        """405 if all that is wrong is that the request has a method that nobody knows."""
        said = error.message.partition("\n\n")[0]  # what follows are the caller's bytes
        if self._unusual is None or not any(text in said for text in _UNHEARD):
            return None
        method, target = (part.decode() for part in self._unusual.groups())
        request = parse_request(method, target, CIMultiDictProxy(CIMultiDict()))
        match = PATHS.match(request.segments())
        return wrong_method(request, () if match is None else ROUTES[match.pattern])


class _Refusal(web.StreamResponse):
    """An answer written byte for byte: no signal would remove the headers that aiohttp adds."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.force_close()
        self._answer = answer

    async def prepare(self, request: web.BaseRequest) -> None:
        await request.writer.write(self._answer)

    async def write_eof(self, data: bytes = b"") -> None:
        """`prepare` has written everything."""


def _refusal(error: HttpProcessingError) -> ProxyError:
    """What the caller is told: the parser's message without the bytes that it quotes."""
    if isinstance(error, LineTooLong):
        return StatusError(431, "the request's head is too large")
    words = "Invalid target" if isinstance(error, InvalidURLError) else error.message
    return IllegalArgument(f"invalid HTTP request: {words.partition(':')[0]}")
