"""How connections to whoever answers are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from ssl import SSLContext
from typing import cast

from yarl import URL

from proxy.lane import pipes
from proxy.lane.pool import Connect, Pool
from proxy.lane.states import NEVER
from proxy.lane.upstream import UpstreamSide
from proxy.limits.calls import address_of_caller
from proxy.upstream.nodes import Node


def to_node(name: str, ssl: SSLContext | None) -> Connect:
    """Connections to the node whose URL is its name; `ssl` is for https, None for the default."""
    url = URL(name)
    host, port = cast(str, url.host), cast(int, url.port)
    tls = (ssl or True) if url.scheme == "https" else None

    async def connect(side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: side, host, port, ssl=tls)

    return connect


class ApplicationPool(Pool):
    """Connections to the application, within the process; `serve` makes a protocol for each.

    It has time-outs of its own, and takes any number of requests.
    """

    def __init__(self, serve: Callable[[], asyncio.Protocol]) -> None:
        node = Node("application", shown="the proxy's application")
        super().__init__(node, most=NEVER, bounds_answers=False)
        self._serve = serve

    def begin(self, side: UpstreamSide) -> None:
        self.sides.add(side)
        # Nothing can fail. Who asks may do so amid another request, whose context is not theirs.
        asyncio.get_running_loop().call_soon(self._connect, side, context=Context())

    def _connect(self, side: UpstreamSide) -> None:
        # What serves the other end is made in this context, and sees no address on its transport.
        address_of_caller.set(lambda: side.address)
        pipes.connect(self._serve, lambda: side)
