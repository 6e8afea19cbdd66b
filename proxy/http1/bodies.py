"""Bodies: where they end, and in which form they are passed on."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from typing import Final

from proxy.http1.headers import HOP_BY_HOP, SINGLE, Malformed

_LINE_LIMIT: Final = 4096  # bytes of a chunk's size line, or of a trailer
# Chunks that are read at once; what takes a few dozen microseconds delays nobody.
CHUNKS_AT_ONCE: Final = 64
# Bytes by which the framing of a body may outweigh its payload: a million chunks of one byte, which
# is what a program may send that does not know better.
FRAMING_LIMIT: Final = 5 * 1024 * 1024
_TOO_SMALL: Final = (
    4096  # bytes of the same, from which on a body is read when there is time for it
)
_LONG_LINE: Final = 256  # bytes of a line that count as one more line
_ALL: Final = sys.maxsize


class Body:
    """A body that is passed on while it comes."""

    __slots__ = ("ended",)
    until_close = False  # whether the end of the connection is the end of the body

    def __init__(self) -> None:
        self.ended = False

    @property
    def chunks_at_once(self) -> int:
        """How many chunks to read as soon as they come."""
        return CHUNKS_AT_ONCE

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        """The bytes to pass on for `data`, and how many bytes of `data` have been read.

        `ended` says whether these end the body: what follows them belongs to the next message.
        Else it is to be fed again, as no more than so many chunks are read at once.
        Raises: Malformed for chunks that are not valid.
        """
        raise NotImplementedError


class SizedBody(Body):
    """A body of `length` bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        part = data[: self._left]
        self._left -= len(part)
        self.ended = not self._left
        return part, len(part)


class EndlessBody(Body):
    """An answer's body that lasts until its connection closes."""

    __slots__ = ()
    until_close = True

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        return data, len(data)


_TOKEN: Final = rb"[!#-'*+\-.^-z|~A-Z0-9]++"
_EXTENSION: Final = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*+"))?+'
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*+")
_PLAIN_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_TRAILER: Final = re.compile(rb"(" + _TOKEN + rb"):[\t\x20-\x7e\x80-\xff]*")
_TRAILER_LIMIT: Final = 16384  # bytes of all trailers
# Headers that must not be smuggled in behind a body, where they would change what it means.
_NO_TRAILERS: Final = HOP_BY_HOP | SINGLE.keys()


class ChunkedBody(Body):
    """A chunked body, passed on byte for byte.

    It is read strictly, so that no other parser can see it end elsewhere.
    Source: RFC 9112 section 7.1.
    """

    __slots__ = ("_after_data", "_excess", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._left = 0  # bytes of the current chunk still to come
        self._after_data = False  # whether the line break behind a chunk's payload is due
        self._line = b""  # what has come of a line that is not complete
        self._trailers = -1  # bytes of trailers so far; -1 before the last chunk
        self._excess = 0  # bytes by which framing has outweighed payload of late

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        _, used = self._payload(data, chunks)
        return data[:used], used

    @property
    def chunks_at_once(self) -> int:
        """As `Body.chunks_at_once`; none after too small ones, as there may be many such bodies."""
        return 0 if self._excess > _TOO_SMALL else CHUNKS_AT_ONCE

    def _payload(self, data: bytes, chunks: int) -> tuple[list[memoryview], int]:
        """The payload of so many chunks, and how many bytes have been read."""
        payload, used = self._read(data, 2 * chunks)
        taken = sum(map(len, payload))
        self._excess = max(0, self._excess + used - 2 * taken)
        if self._excess > FRAMING_LIMIT:
            raise Malformed(
                f"the framing of its chunks outweighs them by more than [{FRAMING_LIMIT}] bytes"
            )
        return payload, used

    def _read(self, data: bytes, lines: int) -> tuple[list[memoryview], int]:
        """As `_payload`; a chunk has two lines."""
        payload: list[memoryview] = []
        view = memoryview(data)
        position = 0
        while position < len(data) and not self.ended and lines > 0:
            if self._left:
                piece = view[position : position + self._left]
                payload.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._after_data = not self._left
                continue
            if not self._after_data and (span := self._complete_chunk(data, position)) is not None:
                start, end = span
                payload.append(view[start:end])
                position = end + 2
                lines -= 2
                continue
            newline = data.find(b"\n", position) + 1
            line = self._line + data[position : newline or len(data)]
            position = newline or len(data)
            lines -= 1 + len(line) // _LONG_LINE
            if len(line) > _LINE_LIMIT or (self._after_data and not b"\r\n".startswith(line)):
                raise Malformed("invalid chunk")
            if newline:
                self._line = b""
                self._end_line(line)
            else:
                self._line = line
        return payload, position

    def _complete_chunk(self, data: bytes, position: int) -> tuple[int, int] | None:
        """Where the payload of a chunk begins and ends, if the chunk is all there, and plain.

        None leaves it to be read line by line.
        """
        if self._line or self._trailers >= 0:
            return None
        size = _PLAIN_SIZE.match(data, position)
        if size is None:
            return None
        start = size.end()
        end = start + int(size[1], 16)
        return (start, end) if end > start and data.startswith(b"\r\n", end) else None

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
        self._trailers += len(text) + 2
        if trailer is None or trailer[1].lower() in _NO_TRAILERS or self._trailers > _TRAILER_LIMIT:
            raise Malformed("invalid trailer")


LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    """A chunk with that payload, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class RechunkedBody(ChunkedBody):
    """A chunked body, passed on in chunks of our own: without extensions and trailers."""

    __slots__ = ()

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        payload, used = self._payload(data, chunks)
        part = b"".join(payload)
        if part:
            part = chunk(part)
        return (part + LAST_CHUNK if self.ended else part), used


class UnchunkedBody(ChunkedBody):
    """A chunked body, passed on without its chunks, to a caller who speaks HTTP/1.0."""

    __slots__ = ()

    def feed(self, data: bytes, chunks: int = _ALL) -> tuple[bytes, int]:
        payload, used = self._payload(data, chunks)
        return b"".join(payload), used


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """A complete body in slices of at most `size` bytes, for a client that writes each by itself.

    A generator because aiohttp takes pieces from asynchronous ones only; it waits for nothing.
    """
    for start in range(0, len(data), size):
        yield data[start : start + size]
