"""Content codings: of the bodies of requests, and of answers."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.ground.errors import IllegalArgument

_OF_REQUESTS: Final = ("gzip", "x-gzip", "deflate", "x-deflate")
_OF_ANSWERS: Final = ("gzip", "deflate")  # the first that the caller accepts is used
_LEVEL: Final = 3
_PIECE: Final = 1024 * 1024  # bytes, decoded
_SLICE: Final = 64 * 1024  # bytes, encoded
_REFUSED: Final = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


# Requests


class Undecodable(IllegalArgument):
    """A body that is not encoded as it says, or cut off."""

    raw: bytes | None = None  # the body as it came, where all of it has been read


def coding_of_request(headers: Mapping[str, str]) -> str | None:
    """How the body is encoded; None for codings that Elasticsearch does not know, either."""
    coding = headers.get("Content-Encoding")
    return coding if coding is not None and coding.strip().lower() in _OF_REQUESTS else None


class Decoder:
    """Decodes a body that comes in pieces."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._decompressor = zlib.decompressobj(47)  # zlib or gzip, by what the data begins with

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` holds, in pieces of 1 MiB at most. Raises: Undecodable."""
        while data and not self._decompressor.eof:
            try:
                piece = self._decompressor.decompress(data, _PIECE)
            except zlib.error:
                raise Undecodable(f"the body is not [{self._coding}] encoded") from None
            data = self._decompressor.unconsumed_tail
            if piece:
                yield piece

    def end(self) -> None:
        """Raises: Undecodable for a body that is not complete."""
        if not self._decompressor.eof:
            raise Undecodable(f"the [{self._coding}] encoded body is cut off")


def decompressed(data: bytes, coding: str, most: int = _PIECE) -> Iterator[bytes]:
    """A body, decoded, in pieces of at most so many bytes.

    Raises: Undecodable if it is not encoded as `coding` says, or incomplete.
    """
    decompressor = zlib.decompressobj(47)  # zlib or gzip, by what the data begins with
    view, position = memoryview(data), 0
    while not decompressor.eof:
        # In slices, because what is not used yet is copied each time.
        left: bytes | memoryview = decompressor.unconsumed_tail
        if not left:
            left = view[position : position + _SLICE]
            position += len(left)
        try:
            piece = decompressor.decompress(left, most)
        except zlib.error:
            raise Undecodable(f"the body is not [{coding}] encoded") from None
        if not piece and not left:
            raise Undecodable(f"the [{coding}] encoded body is cut off")
        yield piece


# Answers


def coding_of_answer(headers: Mapping[str, str]) -> str | None:
    """The coding of the answer that the caller accepts, if any."""
    offers = headers.get("Accept-Encoding")
    if not offers:
        return None
    accepted = set()
    for offer in offers.lower().split(","):
        name, _, quality = offer.partition(";")
        if not _REFUSED.fullmatch(quality):
            accepted.add(name.strip())
    return next((name for name in _OF_ANSWERS if name in accepted), None)


def compressed(data: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(data, _LEVEL, mtime=0)
    return zlib.compress(data, _LEVEL)


class StreamCoding:
    """A content coding in which the caller can read every piece as soon as it has come."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Window bits: 31 for gzip, 15 for what HTTP calls deflate.
        self._compressor = zlib.compressobj(_LEVEL, wbits=31 if name == "gzip" else 15)

    def encode(self, piece: bytes) -> bytes:
        return self._compressor.compress(piece) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The bytes that end the stream."""
        return self._compressor.flush()
