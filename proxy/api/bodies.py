"""Reading the body of a request, counted and bounded as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web

from proxy.errors import StatusError
from proxy.limits.memory import PER_BODY_BYTE, reserve

_BODY_TIMEOUT: Final = 60.0  # seconds for the next bytes of a body


class TooLarge(Exception):
    """The body is larger than what may be read of it."""


async def collected(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    """All pieces, counted as they come. Raises: TooLarge; MemoryShort."""
    data = bytearray()
    async for piece in pieces:
        reserve(len(piece) * PER_BODY_BYTE)
        data += piece
        if len(data) > limit:
            raise TooLarge
    return bytes(data)


async def pieces_of(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: StatusError 408 when it does not go on."""
    content = request.content
    while not content.at_eof():
        if content.is_eof():  # it is all here
            yield await content.readany()
            continue
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                piece = await content.readany()
        except TimeoutError:
            raise StatusError(408, "the request's body did not come in time") from None
        yield piece


async def in_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, with time for others between them."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)
