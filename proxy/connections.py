"""Which connections to the upstream are not used again."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import ClientResponse

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class UpstreamResponse(ClientResponse):
    """A `response_class` for sessions that callers' requests go through.

    After a head that its parser gives up on (one of more than 16 KiB), Elasticsearch answers 400,
    keeps the connection open, and drops whatever comes on it from then on. Used again, it would let
    one caller's request hang another's, so no connection outlives a 400.
    """

    async def start(self, connection: Connection) -> ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        if self.status == HTTPStatus.BAD_REQUEST and protocol is not None:
            protocol.force_close()
            if self.content.is_eof():
                protocol.close()  # it came whole: its connection has been given back already
        return self
