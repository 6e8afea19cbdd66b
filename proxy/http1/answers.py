"""The heads of answers: where the message ends, and what of it may stay as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import orjson

from proxy.errors import ProxyError
from proxy.http1.bodies import Body, ChunkedBody, EndlessBody, SizedBody, UnchunkedBody
from proxy.http1.headers import HOP_BY_HOP, Malformed, Template, keeps_alive

_ANSWER: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*+)?"
    rb"(?:\r\n[!#-'*+\-.^-z|~A-Z0-9]++:[^\r\n\0]*+)*\r\n\r\n"
)
# So Elasticsearch may answer a head that its parser gives up on (one of more than 16 KiB). It keeps
# the connection open then, and drops whatever comes on it: used again, it would let one caller's
# request hang another's.
GIVEN_UP: Final = frozenset((400, 413, 431))
_ANSWER_LIMIT: Final = 256 * 1024  # bytes of a head; Elasticsearch sends a header per deprecation
_ANSWER_NOTABLE: Final = re.compile(
    rb"\r\n(connection|keep-alive|proxy-(?:authenticate|connection)|te|transfer-encoding"
    rb"|content-length|upgrade|http2-settings):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)


@dataclass(slots=True, kw_only=True)
class AnswerHead:
    """The head of an answer: where the message ends, and whether its bytes may stay as they are."""

    raw: bytes
    method: bytes  # of the request
    status: int
    length: int | None  # bytes of the body; None when chunked or until the connection closes
    chunked: bool
    keep_alive: bool  # whether the connection it came on can be used again
    clean: bool  # no header in it is wrong for a caller whose connection is kept
    as_it_is: bool = field(init=False)  # whether a whole answer may pass unread

    def __post_init__(self) -> None:
        whole = self.length is not None and self.clean and self.keep_alive
        self.as_it_is = whole and self.status >= 200

    def body(self, minor: int) -> Body:
        """What follows it, for a caller who speaks HTTP/1.`minor`."""
        if self.length is not None:
            return SizedBody(self.length)
        if self.chunked:
            return ChunkedBody() if minor else UnchunkedBody()
        return EndlessBody()

    def forwarded(self, *, keep_alive: bool, minor: int) -> bytes:
        """The head with headers about the connection to a caller who speaks HTTP/1.`minor`."""
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
    """The head of the answer to a request with `method`; `raw` ends with its empty line.

    Raises: Malformed, also where two readers could see the message end at different places.
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
    """Reads the heads of answers from one connection's bytes, wherever they are cut."""

    __slots__ = ("_came", "_last", "_raw")

    def __init__(self) -> None:
        self._raw = b""  # the part of a head that has come so far
        self._last: AnswerHead | None = None
        self._came = Template(b"")

    def feed(self, data: bytes, method: bytes) -> tuple[AnswerHead | None, bytes]:
        """The head that `data` completes, if any, and the bytes that follow it.

        1xx answers come like others. Raises: Malformed, as `answer_head`, and for a head that is
        too long, or none at all.
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
            self._last = None  # it does not go on with a part of a head
            return None, b""
        self._raw = b""
        self._last = answer_head(data[:end], method)
        self._came = Template(data[:end])
        return self._last, data[end:]

    def is_complete(self, data: bytes, method: bytes) -> bool:
        """Whether `data` is one whole answer whose head is the last one but for the length.

        Only for heads that any caller of HTTP/1.1 may get as they are, on a connection that stays.
        """
        if self._last is None or not self._last.as_it_is:
            return False
        found = self._fit(data, method)
        return found is not None and len(data) == found[0] + found[1]

    def _fit(self, data: bytes, method: bytes) -> tuple[int, int] | None:
        """Where a head that is the last one but for the length ends, and the length it gives."""
        last = self._last
        if last is None or last.method != method:
            return None
        if data.startswith(last.raw):
            return len(last.raw), last.length or 0
        return self._came.fit(data, 0) if last.length else None

    def _known(self, data: bytes, method: bytes) -> AnswerHead | None:
        """The head that `data` begins with, if it is the last one but for the length."""
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


def error_answer(error: ProxyError, *, method: bytes, keep_alive: bool) -> bytes:
    """A whole answer holding the error as Elasticsearch prints it; no body for HEAD."""
    body = orjson.dumps(error.envelope())
    head = (
        b"HTTP/1.1 %d %b\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n%b%b\r\n"
    )
    phrase = HTTPStatus(error.status).phrase.encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in error.headers).encode()
    connection = b"" if keep_alive else b"Connection: close\r\n"
    answer = head % (error.status, phrase, len(body), more, connection)
    return answer if method == b"HEAD" else answer + body
