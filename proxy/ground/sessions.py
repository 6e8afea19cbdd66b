"""What all sessions and servers of aiohttp have in common: limits, and fresh connections.

A server may drop a connection that lies idle just as the next request is sent on it. Such a
connection says nothing about the server, so the request goes out once more, on a new one.

A server may also send what costs much and says nothing: `100 Continue` for ever, heads without
end, chunks of one byte, answers that nobody asked for. aiohttp reads all of it; a Connector's
connections end when it is too much.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, TypeVar, cast

from aiohttp import (
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientTimeout,
    ServerDisconnectedError,
    StreamReader,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import weakref_handle
from aiohttp.http_exceptions import HttpProcessingError

from proxy.ground.steps import Step, Steps

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.http import RawResponseMessage
    from aiohttp.tracing import Trace


class HeadLimits(TypedDict):
    max_line_size: int  # bytes
    max_field_size: int  # bytes of a header
    max_headers: int


# Generous, as gateways add headers, and Elasticsearch one for each deprecation.
READ_BUFFER: Final = 65536  # bytes a stalled body may hold
HEAD_LIMITS: Final = HeadLimits(max_line_size=65536, max_field_size=65536, max_headers=4096)
MAX_INTERIM: Final = 32  # answers 1xx to one request; servers send one or two
MAX_HEADS: Final = 256 * 1024  # bytes of all heads that answer one request, as in the lane
MAX_FRAMING: Final = 1024 * 1024  # bytes by which a body's chunks may outweigh what is in them
_SWEEPS: Final = 4  # looks for idle connections in the time that they are kept
_STEP: Final = 1024  # bytes of heads, or of tiny chunks, that are read before they are counted
_FIRST_STEP: Final = 8 * 1024  # bytes, as long as nothing but one head has come
_BODY_STEP: Final = 16 * 1024  # the same of other bodies, behind whose end answers can follow

T = TypeVar("T")
# Whether a step has to wait; then it is taken later, once.
PutsOff: TypeAlias = Callable[[Step], bool]
# A context variable, because aiohttp asks for a connection itself and hands nothing of ours on.
_wants_new: Final[ContextVar[bool]] = ContextVar("wants_new", default=False)


class DroppedWhileIdle(ServerDisconnectedError):
    """A connection that had been used before ended without a byte of an answer."""


class BoundedProtocol(ResponseHandler):
    """A connection that ends once what it brings beside a request's answer is too much."""

    def __init__(self, loop: asyncio.AbstractEventLoop, steps: Steps) -> None:
        super().__init__(loop)
        self._steps = steps
        self._rest = b""  # what has come, and waits for its turn
        self._puts_off: PutsOff | None = None
        self._is_dense = False  # whether there was more framing than payload in the last step
        self._is_awaited = False  # the head of the answer
        self.is_used = False  # whether an answer has come
        self._interim = 0  # answers 1xx
        self._heads = 0  # bytes of heads
        self._framed = 0  # bytes of the body, with its framing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # aiohttp would set TCP_NODELAY, as loops have done already.
        self.transport = cast(asyncio.Transport, transport)

    def set_response_params(self, **options: Any) -> None:
        """The beginning of an exchange."""
        self._is_awaited, self._interim, self._heads, self._framed = True, 0, 0, 0
        self._is_dense, self._puts_off = False, None
        super().set_response_params(**options)

    def read_in_turn(self, puts_off: PutsOff) -> None:
        """Read the rest of this answer when `puts_off` lets it; together what comes meanwhile."""
        self._puts_off = puts_off

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The head of an answer has been read. Those behind the awaited one are dropped."""
        if not self._is_awaited:
            return
        if _is_interim(data[0].code):
            self._interim += 1
        else:
            self._is_awaited = False
            self.is_used = True
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if not data or self._parser is None or self._upgraded:
            super().data_received(data)
        elif self._rest:
            self._rest += data
            if len(self._rest) > READ_BUFFER and self.transport is not None:
                self.transport.pause_reading()
        elif self._puts_off is not None and not self._is_over and self._puts_off(self._go_on):
            self._rest = data
        elif self._is_awaited and len(data) <= _FIRST_STEP and not self._interim:
            self._read_head(data)  # as most answers come: as a whole
        else:
            self._read(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        rest, self._rest = self._rest, b""
        self._read(rest, at_once=True)
        super().connection_lost(exc)

    def close(self) -> None:
        """Close, and drop what is left of a request: a server that reads nothing would keep it."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Of a body that nobody has paused, aiohttp would let its parser look for more."""
        if not self._reading_paused and not self._buffer_paused:
            return
        super().resume_reading(resume_parser)
        if self._rest and self.transport is not None:
            self.transport.pause_reading()

    def _read(self, data: bytes, *, at_once: bool = False) -> None:
        """Read it in steps; tiny chunks are read in turns with those of other connections."""
        start = 0
        while start < len(data) and self.transport is not None:
            if self._is_dense and start and not at_once:
                self._rest = data[start:]
                self.transport.pause_reading()
                self._steps.put_off(self._go_on)
                return
            size = _BODY_STEP
            if self._is_dense or self._is_awaited:
                size = _STEP if self._is_dense or self._interim else _FIRST_STEP
            step = data[start : start + size]
            start += len(step)
            if self._is_awaited:
                self._read_head(step)
            else:
                self._read_body(step)

    @property
    def _is_over(self) -> bool:
        """Whether the exchange is."""
        return self._payload is None or self._payload.is_eof()

    def _go_on(self) -> None:
        data, self._rest = self._rest, b""
        if self.transport is not None and not self._reading_paused:
            self.transport.resume_reading()
        self._read(data)

    def _read_head(self, step: bytes) -> None:
        self._heads += len(step)
        before = self._interim
        super().data_received(step)
        if self._interim > MAX_INTERIM or self._heads > MAX_HEADS:
            self._give_up()
        elif self._is_awaited and self._interim > before:
            self._reschedule_timeout()  # aiohttp takes an answer 1xx for the end of the wait

    def _read_body(self, step: bytes) -> None:
        payload = self._payload
        if payload is None or self._is_over:
            self._drop()
            return
        self._framed += len(step)
        before = payload.total_raw_bytes
        super().data_received(step)
        if self.exception() is not None and not payload.is_eof():
            # aiohttp would leave whoever reads it waiting, as it does with one whom the end of a
            # chunk has just woken: so not before that one waits again.
            error = ClientPayloadError("the body is malformed")
            self._loop.call_soon(payload.set_exception, error)
        self._is_dense = 2 * (payload.total_raw_bytes - before) < len(step)
        framing = self._framed - 2 * payload.total_raw_bytes
        if framing > MAX_FRAMING and not self._reading_paused:  # else not all has been read
            payload.set_exception(ClientPayloadError("chunks of next to nothing"))
            self._give_up()

    def _give_up(self) -> None:
        self._drop()
        self.set_exception(HttpProcessingError(message="more heads than an answer needs"))

    def _drop(self) -> None:
        self._rest = b""
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


class Connector(TCPConnector):
    """Gives out idle connections, unless a new one is wanted: then it drops those it comes upon.

    Its connections are bounded, and closed soon after they have been idle for too long, while
    aiohttp would leave that to the server, or to the next burst of requests.
    """

    is_direct = True  # whether they lead to the servers, and not to a forward proxy

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp 3.14 has no public place for it.
        protocol: Callable[..., ResponseHandler] = BoundedProtocol
        self._factory = partial(protocol, loop=self._loop, steps=Steps())
        self._sweeps = False  # whether it looks for such connections in a while
        self.shortest = self._keepalive_timeout or 0.0  # seconds that one may be idle to any server

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        if (idle := self.idle(req)) is not None:
            return idle
        self._drop_stale(req.connection_key)
        connection = await super().connect(req, traces, timeout)
        while _wants_new.get() and _is_used(connection.protocol):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        super()._release(key, protocol, should_close=should_close)
        if not self._sweeps and self._conns:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeps = True
        weakref_handle(self, "_sweep", self.shortest / _SWEEPS, self._loop)

    def _sweep(self) -> None:
        self._sweeps = False
        for key in list(self._conns):
            self._drop_stale(key)
        if self.look() or self._conns:
            self._sweep_later()

    def _drop_stale(self, key: ConnectionKey) -> None:
        """Close those to a server that have been idle for too long, or have been lost."""
        if (kept := self._conns.get(key)) is None:
            return
        since_at_least = monotonic() - self.longest(key)
        fresh: deque[tuple[ResponseHandler, float]] = deque()
        for protocol, since in kept:
            is_connected = protocol.is_connected()
            if is_connected and since >= since_at_least:
                fresh.append((protocol, since))
            elif not (is_connected and self.spares(key, protocol, since)):
                protocol.close()
        if fresh:
            self._conns[key] = fresh
        else:
            del self._conns[key]

    # What a KeepingConnector does otherwise.

    def longest(self, key: ConnectionKey) -> float:
        """Seconds for which an idle connection to this server may be used."""
        return self.shortest

    def spares(self, key: ConnectionKey, protocol: ResponseHandler, since: float) -> bool:
        """Whether one that has been idle for too long is not closed but watched."""
        return False

    def look(self) -> bool:
        """Learn from those that are watched; whether there are any."""
        return False

    def was_dropped(self, key: ConnectionKey) -> None:
        """A server has dropped an idle connection just as it was used."""

    def idle(self, req: ClientRequest) -> Connection | None:
        """What aiohttp would give out at once, in fewer steps; None if it would not."""
        if req.proxy is not None or _wants_new.get():
            return None
        key = req.connection_key
        if not (idle := self._conns.get(key)):
            return None
        protocol, since = idle[0]
        age = monotonic() - since
        if (age > self.shortest and age > self.longest(key)) or not protocol.is_connected():
            return None
        idle.popleft()
        if not idle:
            del self._conns[key]
        self._acquired.add(protocol)
        if self._limit_per_host:
            self._acquired_per_host[key].add(protocol)
        return Connection(self, key, protocol, self._loop)


class Response(ClientResponse):
    """A response that raises DroppedWhileIdle where its connection was."""

    async def start(self, connection: Connection) -> ClientResponse:
        was_used = _is_used(connection.protocol)
        try:
            return await super().start(connection)
        except (ClientOSError, ServerDisconnectedError) as error:
            if was_used and not _has_begun(error):
                cast(Connector, connection._connector).was_dropped(connection._key)
                raise DroppedWhileIdle from None
            raise


async def answer_head(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """The head of the answer and its body, which is still to be read, behind answers 1xx.

    Raises: as Response.
    """
    was_used = _is_used(protocol)
    try:
        while True:
            message, body = await protocol.read()
            if not _is_interim(message.code):
                return message, body
    except HttpProcessingError:
        raise ClientPayloadError("the head of the answer is malformed") from None
    except (ClientOSError, ServerDisconnectedError) as error:
        if was_used and not _has_begun(error):
            raise DroppedWhileIdle from None
        raise


def read_in_turn(connection: Connection | None, puts_off: PutsOff) -> None:
    """Read the rest of the answer on a connection when `puts_off` lets it.

    None is that of an answer which has been read.
    """
    if connection is not None and isinstance(connection.protocol, BoundedProtocol):
        connection.protocol.read_in_turn(puts_off)


async def on_live_connection(send: Callable[[], Awaitable[T]]) -> T:
    """What `send` returns; it is called again, on a new connection, after a DroppedWhileIdle.

    The session must have a Connector, and Response as its `response_class` if that is used.
    """
    try:
        return await send()
    except DroppedWhileIdle:
        pass
    token = _wants_new.set(True)
    try:
        return await send()
    finally:
        _wants_new.reset(token)


async def pieces_of(content: StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a body, as they come; others get their turn between any two of them.

    Without that, what is compressed well, or in many small chunks, would be read in one go.
    """
    while piece := await content.readany():
        yield piece
        if content.at_eof():
            return
        await asyncio.sleep(0)


def _is_used(protocol: ResponseHandler | None) -> bool:
    return isinstance(protocol, BoundedProtocol) and protocol.is_used


def _is_interim(status: int) -> bool:
    return 100 <= status < 200 and status != 101


def _has_begun(error: ClientOSError | ServerDisconnectedError) -> bool:
    """Whether a part of an answer's head had come: aiohttp then puts it in place of a message."""
    return isinstance(error, ServerDisconnectedError) and not isinstance(error.message, str)
