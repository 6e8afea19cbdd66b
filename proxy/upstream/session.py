"""What sessions that speak to the upstream for callers have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientResponse,
    ConnectionTimeoutError,
)

from proxy.http1 import GIVEN_UP
from proxy.upstream.nodes import UNAVAILABLE, Node, Nodes

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class UpstreamResponse(ClientResponse):
    """A `response_class` for sessions that callers' requests go through.

    No connection outlives an answer whose status is one of `http1.GIVEN_UP`.
    """

    async def start(self, connection: Connection) -> ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        if self.status in GIVEN_UP and protocol is not None:
            protocol.force_close()
            if self.content.is_eof():
                protocol.close()  # it came whole: its connection has been given back already
        return self


async def ask(
    nodes: Nodes, send: Callable[[Node], Awaitable[ClientResponse]], *, repeatable: bool
) -> ClientResponse:
    """The answer of the first node in turn that gives one.

    Where no connection can be had, nothing was sent: the next node is asked. So it is where one
    breaks off or has no good answer, if the request may be `repeatable`.

    Raises: aiohttp's ClientError, as `send` of the last node.
    """
    left = nodes.in_turn()
    while True:
        node = left.pop(0)
        try:
            answer = await send(node)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            timed_out = isinstance(error, ConnectionTimeoutError)
            node.unreachable("timed out" if timed_out else error.strerror or "failed")
            if not left:
                raise
            continue
        except ClientConnectionError as error:
            if not left or not repeatable or isinstance(error, TimeoutError):
                raise
            continue
        if answer.status not in UNAVAILABLE:
            node.did_well()
            return answer
        if len(nodes) > 1:
            node.did_badly(answer.status)
        if not repeatable or not any(other.live for other in left):
            return answer
        answer.close()
