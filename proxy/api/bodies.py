"""Reading the body of a request, counted and bounded while it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Final

from aiohttp import hdrs, web

from proxy.config import LimitsConfig
from proxy.ground.errors import PlainError, ProxyError
from proxy.http1 import CONTINUE
from proxy.limits.memory import PER_BODY_BYTE, reserve
from proxy.limits.turns import Turns, Worker
from proxy.limits.uploads import next_piece
from proxy.rest.body import Body
from proxy.rest.codings import Decoder, Undecodable, coding_of_request, decompressed
from proxy.rest.request import RestRequest
from proxy.xcontent.document import Bounds

_PIECE: Final = 256 * 1024  # bytes that are decoded in one turn of the event loop


async def read_body(
    request: web.Request, rest: RestRequest, limit: int, bounds: Bounds, turns: Turns
) -> Body:
    """The body, decoded; of at most `limit` bytes before and after that.

    Raises: PlainError 413 beyond the limit; MemoryShort; StatusError 408; Undecodable.
    """
    content = request.content
    if content.is_eof():  # all of it has come, as small bodies do: with the head
        data = raw = _within(request, content.read_nowait(), limit)
    elif (request.content_length or 0) > limit:
        raise _too_large()
    else:
        data = raw = await _collected(_pieces(request), limit)
    coding = coding_of_request(rest.headers)
    if raw and coding is not None:
        try:
            data = await _collected(_in_turns(decompressed(raw, coding, _PIECE), turns), limit)
        except Undecodable as error:
            error.raw = raw
            raise
    return Body(rest, raw, data, bounds)


async def whole_body(
    limits: LimitsConfig, turns: Turns, request: web.Request, rest: RestRequest
) -> Body:
    """As `read_body`, within the configured limits."""
    bounds = Bounds(nesting=limits.nesting, values=limits.values)
    ask_for_body(request)
    return await read_body(request, rest, limits.inference_body, bounds, turns)


async def decoded_pieces(
    turns: Turns, request: web.Request, rest: RestRequest
) -> AsyncIterator[bytes]:
    """A body of any size, decoded, as it comes. Raises: StatusError 408; Undecodable."""
    ask_for_body(request)
    coding = coding_of_request(rest.headers)
    if coding is None:
        async for piece in _pieces(request):
            yield piece
        return
    decoder = Decoder(coding)
    async for piece in _pieces(request):
        async for part in _in_turns(decoder.feed(piece), turns):
            yield part
    decoder.end()


def ask_for_body(request: web.Request) -> None:
    """Tell a caller who waits for that to send the body, which is not read by the upstream.

    Elasticsearch tells it, too, where the body has come with the head.
    """
    if hdrs.EXPECT in request.headers and request.transport is not None:
        request.transport.write(CONTINUE)


async def unread_body(request: web.Request, rest: RestRequest, bounds: Bounds) -> Body:
    """The body of a request that will be refused: all that counts is whether there is one.

    Raises: StatusError 408.
    """
    length, content = request.content_length, request.content
    if length is None:
        length = 0 if content.at_eof() else len(await next_piece(content))
    return Body(rest, b"", b"-" if length else b"", bounds)


def _too_large() -> ProxyError:
    return PlainError(413, "request body is too large").of_limit("inference_body")


def _within(request: web.Request, data: bytes, limit: int) -> bytes:
    size = len(data)
    if size > limit and request.content_length is not None:
        raise _too_large()  # as if it had not come yet
    reserve(size * PER_BODY_BYTE)
    if size > limit:
        raise _too_large()
    return data


async def _collected(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    data, size = BytesIO(), 0  # which gives away what it has gathered without a copy
    async for piece in pieces:
        reserve(len(piece) * PER_BODY_BYTE)
        data.write(piece)
        size += len(piece)
        if size > limit:
            raise _too_large()
    return data.getvalue()


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    content = request.content
    while not content.at_eof():
        # Once the end of the body has arrived there is nothing to wait for.
        yield await (content.readany() if content.is_eof() else next_piece(content))


async def _in_turns(pieces: Iterator[bytes], turns: Turns) -> AsyncIterator[bytes]:
    """The same pieces; all who decode bodies wait in one line, as little bytes can become many."""
    worker = Worker(turns)
    for piece in pieces:
        yield piece
        await worker.pause()
