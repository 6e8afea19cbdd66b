"""Which connections to the upstream are not used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import ClientResponse

from proxy.wire import GIVEN_UP

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class UpstreamResponse(ClientResponse):
    """A `response_class` for sessions that callers' requests go through.

    No connection outlives an answer whose status is one of `wire.GIVEN_UP`.
    """

    async def start(self, connection: Connection) -> ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        if self.status in GIVEN_UP and protocol is not None:
            protocol.force_close()
            if self.content.is_eof():
                protocol.close()  # it came whole: its connection has been given back already
        return self
