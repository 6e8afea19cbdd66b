"""The heads of answers: where the message ends, and whether it may be passed on as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import orjson

from proxy.ground.errors import ProxyError
from proxy.http1.bodies import Body, ChunkedBody, EndlessBody, SizedBody, UnchunkedBody
from proxy.http1.headers import HOP_BY_HOP, Malformed, Template, encoded_head, keeps_alive

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_OF_ERRORS: Final = (
    ("X-elastic-product", "Elasticsearch"),
    ("content-type", "application/json"),
)
_ANSWER: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*+)?"
    rb"(?:\r\n[!#-'*+\-.^-z|~A-Z0-9]++:[^\r\n\0]*+)*\r\n\r\n"
)
# Statuses with which Elasticsearch may answer a head that its parser gives up on, such as one of
# more than 16 KiB. It keeps the connection open, but drops whatever comes on it: the next request
# there would never be answered.
GIVEN_UP: Final = frozenset((400, 413, 431))
_FEW: Final = 2  # headers: no answer with more has the same ones again and again
_KEPT: Final = 64  # of their heads
_ANSWER_LIMIT: Final = 256 * 1024  # bytes of a head, as there is a header for each deprecation
_ANSWER_NOTABLE: Final = re.compile(
    rb"\r\n(connection|keep-alive|proxy-(?:authenticate|connection)|te|transfer-encoding"
    rb"|content-length|upgrade|http2-settings):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)


@dataclass(slots=True, kw_only=True)
class AnswerHead:
    """The head of an answer."""

    raw: bytes
    method: bytes  # of the request
    status: int
    length: int | None  # bytes of the body; None when chunked, or until the connection closes
    chunked: bool
    keep_alive: bool  # whether the connection it came on can be used again
    clean: bool  # whether a caller whose connection is kept may get it byte for byte
    verbatim: bool = field(init=False)  # whether the whole answer may pass without being parsed
    refuses: bool = field(init=False)  # whether it is an error

    def __post_init__(self) -> None:
        sized = self.length is not None
        self.verbatim = sized and self.clean and self.keep_alive and self.status >= 200
        self.refuses = self.status >= 400

    def body(self, minor: int) -> Body:
        """The body behind it, in a form for a caller who speaks HTTP/1.`minor`."""
        if self.length is not None:
            return SizedBody(self.length)
        if self.chunked:
            return ChunkedBody() if minor else UnchunkedBody()
        return EndlessBody()

    def forwarded(self, *, keep_alive: bool, minor: int) -> bytes:
        """The head for a caller who speaks HTTP/1.`minor`, and whose connection is kept or not."""
        lines = self.raw[:-4].split(b"\r\n")
        kept = [b"HTTP/1.1" + lines[0][8:]]
        for line in lines[1:]:
            name = line.partition(b":")[0].lower()
            framing = name in (b"transfer-encoding", b"trailer") and minor == 1
            if framing or name not in HOP_BY_HOP:
                kept.append(line)
        if not keep_alive:
            kept.append(b"Connection: close")
        elif minor == 0:
            kept.append(b"Connection: keep-alive")
        kept.append(b"\r\n")
        return b"\r\n".join(kept)


def answer_head(raw: bytes, method: bytes) -> AnswerHead:
    """The head of an answer to a request with `method`; `raw` is all of it, with its empty line.

    Raises: Malformed, also where two parsers could see the message end at different places.
    """
    match = _ANSWER.fullmatch(raw)
    if match is None:
        raise Malformed("not an HTTP/1 answer")
    status = int(match[2])
    minor = 1 if match[1] == b"1" else 0
    length: int | None = None
    coding: bytes | None = None
    connection: bytes | None = None
    clean = True
    for name, value in _ANSWER_NOTABLE.findall(raw):
        key = name.lower()
        if key == b"content-length":
            if length is not None or not value.strip(b" \t").isdigit() or len(value) > 18:
                raise Malformed("invalid Content-Length")
            length = int(value)
        elif key == b"transfer-encoding":
            if coding is not None or value.strip(b" \t").lower() != b"chunked":
                raise Malformed("invalid Transfer-Encoding")
            coding = value
        elif key == b"connection":
            connection = value if connection is None else connection + b"," + value
            clean = clean and value.lower() == b"keep-alive"
        else:
            clean = False
    if coding is not None and length is not None:
        raise Malformed("ambiguous message length")
    if method == b"HEAD" or status < 200 or status in (204, 304):
        length = 0
        coding = None
    return AnswerHead(
        raw=raw,
        method=method,
        status=status,
        length=length,
        chunked=coding is not None,
        keep_alive=keeps_alive(connection, minor)
        and (length is not None or coding is not None)
        and status not in GIVEN_UP,
        clean=clean and minor == 1,
    )


class AnswerParser:
    """Reads the heads of answers from one connection's bytes, wherever these are cut.

    The last head is remembered: one that differs from it only in the value of Content-Length is not
    parsed again.
    """

    __slots__ = ("_last", "_raw", "_received")

    def __init__(self) -> None:
        self._raw = b""  # what has come of a head that is not complete
        self._last: AnswerHead | None = None
        self._received = Template(b"")  # the last head

    def feed(self, data: bytes, method: bytes) -> tuple[AnswerHead | None, bytes]:
        """The head that `data` completes, if any, and the bytes that follow it.

        Heads of 1xx answers are given out like others.
        Raises: Malformed as `answer_head`, and for what is too long, or not HTTP at all.
        """
        known = self._known(data, method)
        if known is not None:
            return known, data[len(known.raw) :]
        seen = len(self._raw)
        data = self._raw + data
        end = data.find(b"\r\n\r\n", max(seen - 3, 0)) + 4
        if end < 4:
            if len(data) > _ANSWER_LIMIT or data[:7] != b"HTTP/1."[: len(data)]:
                raise Malformed("not an HTTP/1 answer")
            self._raw = data
            self._last = None  # what comes next is not the beginning of a head
            return None, b""
        self._raw = b""
        self._last = answer_head(data[:end], method)
        self._received = Template(data[:end])
        return self._last, data[end:]

    def is_complete(self, data: bytes, method: bytes, no_error: bool) -> bool:
        """Whether `data` is exactly one answer, which may be passed on without being parsed.

        Its head must be like the last one, and such that any caller who speaks HTTP/1.1 and keeps
        its connection may get it. With `no_error`, an error has to be parsed.
        """
        if self._last is None or not self._last.verbatim:
            return False
        if no_error and self._last.refuses:
            return False
        found = self._fit(data, method)
        return found is not None and len(data) == found[0] + found[1]

    def _fit(self, data: bytes, method: bytes) -> tuple[int, int] | None:
        """Where a head that is like the last one ends, and its length; None if it is not."""
        last = self._last
        if last is None or last.method != method:
            return None
        if data.startswith(last.raw):
            return len(last.raw), last.length or 0
        return self._received.fit(data, 0) if last.length else None

    def _known(self, data: bytes, method: bytes) -> AnswerHead | None:
        """The head that `data` begins with, if it is like the last one."""
        last, found = self._last, self._fit(data, method)
        if last is None or found is None:
            return None
        end, length = found
        if data.startswith(last.raw):
            return last
        self._last = AnswerHead(
            raw=data[:end],
            method=method,
            status=last.status,
            length=length,
            chunked=False,
            keep_alive=last.keep_alive,
            clean=last.clean,
        )
        return self._last


def whole_answer(
    status: int,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    method: bytes,
    keep_alive: bool,
) -> bytes:
    """A complete answer, without its body for HEAD.

    Raises: ValueError for a header with a line break.
    """
    pairs = tuple(headers)
    if status == 200 and keep_alive and len(pairs) <= _FEW:
        head = b"%b%d\r\n\r\n" % (_beginning(pairs), len(body))
    else:
        framing = ("content-length", str(len(body)))
        head = _head(status, [*pairs, framing], keep_alive=keep_alive)
    return head if method == b"HEAD" else head + body


@lru_cache(_KEPT)
def _beginning(headers: tuple[tuple[str, str], ...]) -> bytes:
    """The head of a 200 as far as the value of Content-Length, its last header."""
    return _head(200, list(headers), keep_alive=True)[:-2] + b"content-length: "


@lru_cache(_KEPT)
def _kept_head(status: int, headers: tuple[tuple[str, str], ...], *, keep_alive: bool) -> bytes:
    return _head(status, list(headers), keep_alive=keep_alive)


def chunked_head(status: int, headers: Iterable[tuple[str, str]], *, keep_alive: bool) -> bytes:
    """The head of an answer whose body follows in chunks.

    Raises: ValueError for a header with a line break.
    """
    pairs = (*headers, ("transfer-encoding", "chunked"))
    if len(pairs) <= _FEW + 1:
        return _kept_head(status, pairs, keep_alive=keep_alive)
    return _head(status, list(pairs), keep_alive=keep_alive)


def _head(status: int, headers: list[tuple[str, str]], *, keep_alive: bool) -> bytes:
    if not keep_alive:
        headers.append(("Connection", "close"))
    return encoded_head(f"HTTP/1.1 {status} {_PHRASES.get(status, '')}", headers)


def error_answer(error: ProxyError, *, method: bytes, keep_alive: bool) -> bytes:
    """A complete answer with the error as Elasticsearch prints it; without a body for HEAD."""
    headers = [*_OF_ERRORS, *error.headers]
    body = orjson.dumps(error.envelope())
    return whole_answer(error.status, headers, body, method=method, keep_alive=keep_alive)
