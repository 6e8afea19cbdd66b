"""Bodies: where they end, and in which form they are passed on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from proxy.http1.headers import HOP_BY_HOP, SINGLE, Malformed

_LINE_LIMIT: Final = 4096  # bytes of a chunk's size line, or of a trailer


class Body:
    """A body that is passed on while it comes."""

    __slots__ = ("ended",)
    until_close = False  # whether the end of the connection is the end of the body

    def __init__(self) -> None:
        self.ended = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """The bytes to pass on for `data`, and how many bytes of `data` belong to the body.

        What follows these belongs to the next message; `ended` says whether they end the body.
        Raises: Malformed for chunks that are not valid.
        """
        raise NotImplementedError


class SizedBody(Body):
    """A body of `length` bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length

    def feed(self, data: bytes) -> tuple[bytes, int]:
        part = data[: self._left]
        self._left -= len(part)
        self.ended = not self._left
        return part, len(part)


class EndlessBody(Body):
    """An answer's body that lasts until its connection closes."""

    __slots__ = ()
    until_close = True

    def feed(self, data: bytes) -> tuple[bytes, int]:
        return data, len(data)


_TOKEN: Final = rb"[!#-'*+\-.^-z|~A-Z0-9]+"
_EXTENSION: Final = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*"))?'
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
_TRAILER: Final = re.compile(rb"(" + _TOKEN + rb"):[\t\x20-\x7e\x80-\xff]*")
_TRAILER_LIMIT: Final = 16384  # bytes of all trailers
# Headers that must not be smuggled in behind a body, where they would change what it means.
_NO_TRAILERS: Final = HOP_BY_HOP | SINGLE.keys()


class ChunkedBody(Body):
    """A chunked body, passed on byte for byte.

    It is read strictly, so that no other parser can see it end elsewhere.
    Source: RFC 9112 section 7.1.
    """

    __slots__ = ("_after_data", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._left = 0  # bytes of the current chunk still to come
        self._after_data = False  # whether the line break behind a chunk's payload is due
        self._line = b""  # what has come of a line that is not complete
        self._trailers = -1  # bytes of trailers so far; -1 before the last chunk

    def feed(self, data: bytes) -> tuple[bytes, int]:
        _, used = self._payload(data)
        return data[:used], used

    def _payload(self, data: bytes) -> tuple[list[memoryview], int]:
        payload: list[memoryview] = []
        view = memoryview(data)
        position = 0
        while position < len(data) and not self.ended:
            if self._left:
                piece = view[position : position + self._left]
                payload.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._after_data = not self._left
                continue
            newline = data.find(b"\n", position) + 1
            line = self._line + data[position : newline or len(data)]
            position = newline or len(data)
            if len(line) > _LINE_LIMIT or (self._after_data and not b"\r\n".startswith(line)):
                raise Malformed("invalid chunk")
            if newline:
                self._line = b""
                self._end_line(line)
            else:
                self._line = line
        return payload, position

    def _end_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise Malformed("invalid line end in a chunked body")
        text = line[:-2]
        if self._after_data:
            self._after_data = False
        elif self._trailers >= 0:
            self._end_trailer(text)
        else:
            size = _SIZE.fullmatch(text)
            if size is None:
                raise Malformed("invalid chunk size")
            self._left = int(size[1], 16)
            if not self._left:
                self._trailers = 0

    def _end_trailer(self, text: bytes) -> None:
        if not text:
            self.ended = True
            return
        trailer = _TRAILER.fullmatch(text)
        self._trailers += len(text)
        if trailer is None or trailer[1].lower() in _NO_TRAILERS or self._trailers > _TRAILER_LIMIT:
            raise Malformed("invalid trailer")


class RechunkedBody(ChunkedBody):
    """A chunked body, passed on in chunks of our own: without extensions and trailers."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        payload, used = self._payload(data)
        part = b"".join(payload)
        if part:
            part = b"%x\r\n%b\r\n" % (len(part), part)
        return (part + b"0\r\n\r\n" if self.ended else part), used


class UnchunkedBody(ChunkedBody):
    """A chunked body, passed on without its chunks, to a caller who speaks HTTP/1.0."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        payload, used = self._payload(data)
        return b"".join(payload), used


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """A complete body in slices of at most `size` bytes, for a client that writes each by itself.

    A generator because aiohttp takes pieces from asynchronous ones only; it waits for nothing.
    """
    for start in range(0, len(data), size):
        yield data[start : start + size]
