"""How connections to whoever answers are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import cast

from yarl import URL

from proxy.lane import pipes
from proxy.lane.pool import Connect
from proxy.lane.upstream import UpstreamSide
from proxy.limits.calls import address_of_caller


def to_node(name: str, ssl: SSLContext | None) -> Connect:
    """Connections to the node whose URL is its name; `ssl` is for https, None for the default."""
    url = URL(name)
    host, port = cast(str, url.host), cast(int, url.port)
    tls = (ssl or True) if url.scheme == "https" else None

    async def connect(side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: side, host, port, ssl=tls)

    return connect


def to_application(serve: Callable[[], asyncio.Protocol]) -> Connect:
    """Connections to the application, which `serve` makes a protocol for: within the process."""

    async def connect(side: UpstreamSide) -> None:
        # What serves the other end is made in this context, and sees no address on its transport.
        address_of_caller.set(lambda: side.address)
        pipes.connect(serve, lambda: side)

    return connect
