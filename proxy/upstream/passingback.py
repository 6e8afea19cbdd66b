"""Answers of the upstream on their way to a caller, as they came or with a change."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import ClientError, hdrs, web
from multidict import CIMultiDict

from proxy.ground.errors import UpstreamBroken
from proxy.http1 import HOP_BY_HOP
from proxy.upstream.hooks import FROM_UPSTREAM
from proxy.upstream.session import UpstreamResponse

_SMALL: Final = 4096  # bytes of a piece of an answer
_GATHERED: Final = 1024 * 1024  # bytes of an answer that is read to its end before it is changed
_CHANGED: Final = 65536  # bytes that are changed in one turn of the loop


# Not frozen, as that costs half a microsecond for each.
@dataclass(slots=True, kw_only=True)
class UpstreamAnswer:
    """An answer that was read to its end, without its content coding."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# What an answer's body tells, decoded; None where the caller may have it as it came.
Telling = Callable[[bytes, str | None], bytes | None]


class Pieces(Protocol):
    """Changes an answer as it passes."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on by now."""

    def finish(self) -> bytes:
        """What is left, once all has come."""


class Change(Protocol):
    """What is done to the JSON of an answer, which comes in a content coding perhaps, and stays so.

    Both raise ProxyError for what is not encoded as it says.
    """

    def whole(self, body: bytes, coding: str | None) -> bytes | None:
        """The body with the change; None where there is nothing to change."""

    def pieces(self, coding: str | None) -> Pieces:
        """The same for one that comes in pieces."""


async def pass_back(
    request: web.Request,
    answer: UpstreamResponse,
    line: asyncio.Lock,
    start: bytes = b"",
    change: Change | None = None,
) -> web.StreamResponse:
    """Stream an answer to the caller; `start` is what has been read of its body.

    Where there is nothing to change, the caller gets the very bytes of the upstream.
    Raises: ProxyError, before the first byte.
    """
    headers = _end_to_end(answer)
    pieces: Pieces | None = None
    rest = b""  # of what has been read, still to be changed
    if change is not None and request.method != hdrs.METH_HEAD and "json" in answer.content_type:
        coding = answer.headers.get(hdrs.CONTENT_ENCODING)
        start += await gathered(answer, _GATHERED - len(start))
        if not answer.content.at_eof():
            pieces = change.pieces(coding)
            start, rest = pieces.feed(start[:_CHANGED]), start[_CHANGED:]
            headers.popall(hdrs.CONTENT_LENGTH, None)
        elif (changed := change.whole(start, coding)) is not None:
            start = changed
            if hdrs.CONTENT_LENGTH in headers:
                headers[hdrs.CONTENT_LENGTH] = str(len(start))
    response = await begun(request, answer, headers)
    if start:
        await response.write(start)
    for at in range(0, len(rest), _CHANGED):
        assert pieces is not None
        await response.write(pieces.feed(rest[at : at + _CHANGED]))
        await asyncio.sleep(0)
    return await _streamed(request, response, answer, line, pieces)


async def passed_back_whole(
    request: web.Request, answer: UpstreamResponse, body: bytes
) -> web.StreamResponse:
    """The caller's answer, whose whole body has been read."""
    response = await begun(request, answer, _end_to_end(answer))
    await response.write_eof(body)
    return response


async def begun(
    request: web.Request, answer: UpstreamResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """The answer to the caller, with its head sent."""
    request[FROM_UPSTREAM] = frozenset(name.lower() for name in headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    return response


async def gathered(answer: UpstreamResponse, limit: int) -> bytes:
    """About the first `limit` bytes of the body, or all of them. Raises: UpstreamBroken."""
    body = bytearray()
    try:
        while len(body) < limit and not answer.content.at_eof():
            body += await answer.content.readany()
            if not answer.content.at_eof():
                await asyncio.sleep(0)  # many small chunks would be read in one go
    except ClientError:
        raise UpstreamBroken("upstream node broke off its answer") from None
    return bytes(body)


async def _streamed(
    request: web.Request,
    response: web.StreamResponse,
    answer: UpstreamResponse,
    line: asyncio.Lock,
    pieces: Pieces | None,
) -> web.StreamResponse:
    """Stream the rest of the body.

    Small pieces may be of many small chunks, which take long to read. So of all answers that bring
    such pieces one goes on in each turn of the loop; the others wait in `line`.
    """
    while True:
        try:
            piece = await answer.content.readany()
        except ClientError:
            _cut(request)  # half an answer must not look whole
            return response
        if not piece:
            break
        await response.write(piece if pieces is None else pieces.feed(piece))
        if len(piece) < _SMALL and not answer.content.at_eof():
            async with line:
                await asyncio.sleep(0)
    await response.write_eof(b"" if pieces is None else pieces.finish())
    return response


def _end_to_end(answer: UpstreamResponse) -> CIMultiDict[str]:
    headers = CIMultiDict[str]()
    for name, value in answer.raw_headers:
        if name.lower() not in HOP_BY_HOP:
            headers.add(text_of(name), text_of(value))
    return headers


def text_of(value: bytes) -> str:
    """The name or value of a header as aiohttp takes it."""
    return value.decode("utf-8", "surrogateescape")


def _cut(request: web.Request) -> None:
    """Abort the caller's connection, with a reset if it is TCP."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
