"""A request and its answer over a connection of a Connector, without what a session does around it.

A session prepares every request for redirects, cookies, traces, forms and retries, and has a task
write its body. A request whose bytes are at hand needs none of that, and it is most of what one
costs. Connections, their pools and their bounds are aiohttp's and those of `proxy.ground.sessions`,
as for every other request.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Final

from aiohttp import ClientOSError, ClientRequest, ClientTimeout, ConnectionTimeoutError, hdrs
from aiohttp.streams import StreamReader

from proxy.ground.sessions import (
    HEAD_LIMITS,
    READ_BUFFER,
    Connector,
    DroppedWhileIdle,
    answer_head,
)

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

_WRITTEN_AT_ONCE: Final = 64 * 1024  # bytes; more are not copied to be sent with the head


class SharedRequest(ClientRequest):
    """What all requests to a server have in common: what names their connections, above all."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


class Answer:
    """An answer whose head has been read; a context that ends the exchange.

    The connection can be used again once the body has been read to its end.
    """

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: StreamReader
    ) -> None:
        self.connection = connection
        self.status = message.code
        self.reason = message.reason
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.content = content
        content.on_eof(self.release)

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty if there is none."""
        return self.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def release(self) -> None:
        """Give the connection back."""
        transport = self.connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self.connection.close()  # it has answered before it has read the request
        else:
            self.connection.release()


async def exchange(
    connector: Connector,
    request: ClientRequest,
    head: bytes,
    body: bytes,
    timeout: ClientTimeout,
    *,
    has_body: bool = True,
    auto_decompress: bool = True,
    read_bufsize: int = READ_BUFFER,
    last: Collection[int] = (),
) -> Answer:
    """The answer to `head` and `body`, once its own head has come; its body is still to be read.

    `request` says to whom a connection is needed, `has_body` whether such a request has an answer
    with a body. One with a status among `last` is the last one on its connection.
    Raises: aiohttp's ClientErrors, DroppedWhileIdle, OSError; UnicodeError for an odd host.
    """
    try:
        connection = await connector.connect(request, [], timeout)
    except TimeoutError as error:
        raise ConnectionTimeoutError("no connection was made in time") from error
    answer = None
    try:
        protocol = connection.protocol
        if protocol is None or (transport := protocol.transport) is None:
            raise ClientOSError  # it has been lost since
        protocol.set_response_params(
            skip_payload=not has_body,
            read_until_eof=True,
            auto_decompress=auto_decompress,
            read_timeout=timeout.sock_read,
            read_bufsize=read_bufsize,
            **HEAD_LIMITS,
        )
        if len(body) <= _WRITTEN_AT_ONCE:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        protocol.start_timeout()
        try:
            message, content = await answer_head(protocol)
        except DroppedWhileIdle:
            connector.was_dropped(request.connection_key)
            raise
        if message.code in last:
            protocol.force_close()
        answer = Answer(connection, message, content)
        return answer
    finally:
        if answer is None:
            connection.close()
