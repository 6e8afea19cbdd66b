"""What all sessions and servers of aiohttp have in common: limits, and fresh connections.

A server may drop a connection that lies idle just as the next request is sent on it. Such a
connection says nothing about the server, so the request goes out once more, on a new one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypedDict
from weakref import WeakSet

from aiohttp import (
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
)

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class HeadLimits(TypedDict):
    max_line_size: int  # bytes
    max_field_size: int  # bytes of a header
    max_headers: int


# Generous, as gateways add headers, and Elasticsearch one for each deprecation.
HEAD_LIMITS: Final = HeadLimits(max_line_size=65536, max_field_size=65536, max_headers=4096)

_used: Final[WeakSet[ResponseHandler]] = WeakSet()  # connections on which an answer has come
_wants_new: Final[ContextVar[bool]] = ContextVar("wants_new", default=False)


class DroppedWhileIdle(ServerDisconnectedError):
    """A connection that had been used before ended without a byte of an answer."""


class Connector(TCPConnector):
    """Gives out idle connections, unless a new one is wanted: then it drops those it comes upon."""

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        while _wants_new.get() and connection.protocol in _used:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection


class Response(ClientResponse):
    """A response that raises DroppedWhileIdle where its connection was."""

    async def start(self, connection: Connection) -> ClientResponse:
        protocol = connection.protocol
        try:
            await super().start(connection)
        except (ClientOSError, ServerDisconnectedError) as error:
            if protocol in _used and not _has_begun(error):
                raise DroppedWhileIdle from None
            raise
        if protocol is not None:
            _used.add(protocol)
        return self


async def on_live_connection(send: Callable[[], Awaitable[ClientResponse]]) -> ClientResponse:
    """What `send` returns; it is called again, on a new connection, after a DroppedWhileIdle.

    The session must have a Connector, and Response as its `response_class`.
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


def _has_begun(error: ClientOSError | ServerDisconnectedError) -> bool:
    """Whether a part of an answer's head had come: aiohttp then puts it in place of a message."""
    return isinstance(error, ServerDisconnectedError) and not isinstance(error.message, str)
