"""How long a caller may pause while it sends the body of a request."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import StreamReader

from proxy.ground.errors import StatusError

PAUSE: Final = 60.0  # seconds


async def next_piece(content: StreamReader, pause: float = PAUSE) -> bytes:
    """The next bytes of the body, none at its end.

    Raises: StatusError 408 if the caller sends nothing for `pause` seconds.
    """
    try:
        async with asyncio.timeout(pause):
            return await content.readany()
    except TimeoutError:
        raise StatusError(408, "the request's body did not come in time") from None
