"""Answers, ready for the wire, and their content codings."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from multidict import CIMultiDict


@dataclass(frozen=True, slots=True)
class RestResponse:
    """A complete answer, ready for the wire."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class StreamCoding:
    """A content coding in which every piece can be read as soon as it has come."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Window bits: 31 for gzip, 15 for what HTTP calls deflate.
        self._compressor = zlib.compressobj(3, wbits=31 if name == "gzip" else 15)

    def encode(self, piece: bytes) -> bytes:
        return self._compressor.compress(piece) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What closes the stream."""
        return self._compressor.flush()
