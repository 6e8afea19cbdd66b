"""Answers of the upstream in whatever content coding the caller accepts: what they tell of us.

What tells nothing of us is not even decoded anew: the caller gets the bytes of the upstream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.ground.errors import IllegalArgument, UpstreamBroken
from proxy.ground.largeanswers import AnswerTooLarge
from proxy.rest.codings import Decoder, StreamCoding, compressed, decompressed
from proxy.semantic import layout
from proxy.semantic.cutting import Cutter, Replacement
from proxy.semantic.ports import Pieces

_OURS: Final = layout.CONTAINER.encode()
_DECODED: Final = 128 * 1024 * 1024  # bytes of a decoded answer
_CODINGS: Final = ("gzip", "deflate")


def names_us(body: bytes) -> bool:
    """Whether a text of the upstream's, in any format, may name what the layer has added."""
    return _OURS in body


def telling(is_told: Callable[[bytes], bool]) -> Callable[[bytes, str | None], bytes | None]:
    """What says of an answer whether it tells something; see ports.Telling."""

    def told(body: bytes, coding: str | None) -> bytes | None:
        plain = _plain(body, coding)
        return plain if is_told(plain) else None

    return told


@dataclass(frozen=True, slots=True)
class Changing:
    """Changes answers in whatever content coding; `begun` begins with one.

    Those that `concerns` knows nothing in are left as they are.
    """

    begun: Callable[[], Pieces]
    concerns: Callable[[bytes], bool] = names_us

    def whole(self, body: bytes, coding: str | None) -> bytes | None:
        """The changed answer; None where there is nothing to change."""
        plain = _plain(body, coding)
        if not self.concerns(plain):
            return None
        pieces = self.begun()
        made = pieces.feed(plain) + pieces.finish()
        if made == plain:
            return None
        known = _coding(coding)
        return made if known is None else compressed(made, known)

    def pieces(self, coding: str | None) -> Pieces:
        """What takes the answer piece by piece."""
        known = _coding(coding)
        return self.begun() if known is None else _Recoding(self.begun(), known)


def cutting(replacement: Replacement | None = None, source_of: str | None = None) -> Changing:
    """Cuts what the layer has added out of an answer; see Cutter for the arguments."""
    return Changing(lambda: Cutter(replacement, source_of))


class _Recoding:
    """Decodes what comes, and encodes what is left of it."""

    def __init__(self, pieces: Pieces, coding: str) -> None:
        self._pieces = pieces
        self._decoder = Decoder(coding)
        self._coding = StreamCoding(coding)

    def feed(self, data: bytes) -> bytes:
        try:
            kept = b"".join(map(self._pieces.feed, self._decoder.feed(data)))
        except IllegalArgument as error:
            raise UpstreamBroken("upstream node answered in a broken content coding") from error
        return self._coding.encode(kept) if kept else b""

    def finish(self) -> bytes:
        return self._coding.encode(self._pieces.finish()) + self._coding.end()


def _plain(body: bytes, coding: str | None) -> bytes:
    """A whole body, decoded. Raises: UpstreamBroken, AnswerTooLarge."""
    if not body or (known := _coding(coding)) is None:
        return body
    found = bytearray()
    try:
        for piece in decompressed(body, known):
            found += piece
            if len(found) > _DECODED:
                raise AnswerTooLarge(_DECODED)
    except IllegalArgument:
        raise UpstreamBroken("upstream node answered in a broken content coding") from None
    return bytes(found)


def _coding(coding: str | None) -> str | None:
    """A content coding that has to be decoded. Raises: UpstreamBroken for one that cannot be."""
    if coding is None or coding == "identity":
        return None
    if coding not in _CODINGS:
        raise UpstreamBroken("upstream node answered in an unknown content coding")
    return coding
