"""A POST over the connections of an aiohttp session, and its answer.

A session prepares every request for redirects, cookies, traces, forms and retries. A call to a
provider needs none of them, and they are most of what one costs. Connections, their pools and their
bounds are aiohttp's and those of `proxy.ground.sessions`, as for every other request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiohttp import ClientOSError, ClientRequest, ClientSession, StreamReader, hdrs
from yarl import URL

from proxy.ground.sessions import HEAD_LIMITS, READ_BUFFER, Connector, answer_head

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

_MOST_REMEMBERED: Final = 1024  # URLs
_LONGEST_REMEMBERED: Final = 2048  # characters of a URL; together they must not take much memory
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_WRITTEN_AT_ONCE: Final = 64 * 1024  # bytes; more are not copied to be sent with the head


class Answer:
    """An answer whose head has been read; a context that ends the exchange.

    The connection can be used again once the body has been read to its end.
    """

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: StreamReader
    ) -> None:
        self._connection = connection
        self.status = message.code
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.content = content
        content.on_eof(self._release)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _release(self) -> None:
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self._connection.close()  # it has answered before it has read the request
        else:
            self._connection.release()


class Exchanges:
    """Makes POSTs of JSON over the connections of a session, which must lead to the servers."""

    def __init__(self, session: ClientSession, connector: Connector) -> None:
        self._connector = connector
        self._timeout = session.timeout
        self._target = partial(_Target, asyncio.get_running_loop())
        self._remembered = lru_cache(_MOST_REMEMBERED)(self._target)

    @classmethod
    def of(cls, session: ClientSession) -> Exchanges | None:
        """None where connections lead to a forward proxy, which wants requests of its own."""
        connector = session.connector
        if isinstance(connector, Connector) and connector.is_direct:
            return cls(session, connector)
        return None

    async def post(
        self, url: str, token: str, data: bytes, more: Mapping[str, str] = _NONE
    ) -> Answer:
        """The answer, once its head has come; `more` are further headers.

        Raises: aiohttp's ClientErrors, DroppedWhileIdle, OSError; UnicodeError for an odd host.
        """
        target = (self._remembered if len(url) <= _LONGEST_REMEMBERED else self._target)(url)
        head = target.head + b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (
            token.encode(),
            len(data),
        )
        for name, value in more.items():
            head = b"%b%b: %b\r\n\r\n" % (head[:-2], name.encode(), value.encode())
        connection = await self._connector.connect(target.request, [], self._timeout)
        answer = None
        try:
            protocol = connection.protocol
            if protocol is None or (transport := protocol.transport) is None:
                raise ClientOSError  # it has been lost since
            protocol.set_response_params(
                read_until_eof=True, read_bufsize=READ_BUFFER, **HEAD_LIMITS
            )
            if len(data) <= _WRITTEN_AT_ONCE:
                transport.write(head + data)
            else:
                transport.writelines((head, data))
            answer = Answer(connection, *await answer_head(protocol))
            return answer
        finally:
            if answer is None:
                connection.close()


class _Target:
    """What all requests to a URL have in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        where = URL(url, encoded=url.isascii())  # letters beyond ASCII must be escaped
        self.request = ClientRequest(
            "POST", where, headers={"Content-Type": "application/json"}, loop=loop
        )
        lines = [f"POST {where.raw_path_qs} HTTP/1.1"]
        lines += [
            f"{name}: {value}"
            for name, value in self.request.headers.items()
            if name != hdrs.CONTENT_LENGTH
        ]
        self.head = ("\r\n".join(lines) + "\r\n").encode()
