"""HTTP/1 heads and bodies as the lane passes them on: pure functions on bytes, no I/O.

Two rules hold throughout. What is ambiguous is refused, never repaired, because Elasticsearch's own
parser repairs in its own way and would run the rest as a second request. And what is decided on is
what is sent: targets are compared raw and forwarded raw.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from proxy.errors import IllegalArgument, ProxyError, StatusError

Headers = list[tuple[bytes, bytes]]

# Not in it: what `Connection` names. "Connection: es-security-runas-user" would undo a run-as.
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# A second one of these is refused, in whatever spelling; the value is Elasticsearch's own name.
SINGLE: Final = {
    b"authorization": "Authorization",
    b"content-length": "Content-Length",
    b"expect": "Expect",
    b"host": "Host",
    b"transfer-encoding": "Transfer-Encoding",
    b"x-opaque-id": "X-Opaque-Id",
}
_NOTABLE: Final = HOP_BY_HOP | SINGLE.keys()
_VERSIONS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
_LINE_LIMIT: Final = 4096  # bytes of a line that is read here: a request's, a chunk's
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]{1,18})[ \t]*+\r\n", re.IGNORECASE)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
# A plain request line; a stranger one is left to llhttp.
_REQUEST_LINE: Final = re.compile(rb"(GET|POST|PUT|HEAD|DELETE) (/[!\"$-~]*+) HTTP/1\.1")
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"))

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """Bytes that are no HTTP/1 message; the text never quotes them."""


# --- requests -----------------------------------------------------------------------------------


# Not frozen: `object.__setattr__` for each field would cost a microsecond a request.
@dataclass(slots=True, kw_only=True)
class RequestHead:
    """A request's head that may be passed on."""

    method: bytes
    target: bytes  # raw: routed and forwarded as it was sent, never decoded
    headers: Headers  # end-to-end, in order, as sent; a Content-Length is the parsed number
    body_length: int | None  # bytes; None when chunked
    keep_alive: bool
    minor: int  # 0 for HTTP/1.0, 1 for HTTP/1.1
    expects: bool  # whether its body may wait for a 100 that has not been passed back
    inference: bool  # whether Elasticsearch with the plugin would route it to `_inference`
    onward: bytes = field(default=b"", compare=False)  # `forwarded`, made once

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when an idle connection proved dead. POST may not."""
        return self.method in _IDEMPOTENT

    def forwarded(self) -> bytes:
        """The head as it goes on: end-to-end headers, framing as parsed and not as claimed."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target)]
        lines += [b"%b: %b" % pair for pair in self.headers]
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n" if self.body_length is None else b"\r\n")
        return b"\r\n".join(lines)


def is_inference(target: bytes) -> bool:
    """Whether Elasticsearch with the inference plugin would route this raw target to `_inference`.

    It compares literal segments: no decoding, no dot segments, no merging of slashes; slashes at
    the end do not count.
    """
    if not target.startswith(b"/_inference"):
        return False
    segments = target.partition(b"?")[0].split(b"/")
    while not segments[-1]:
        segments.pop()
    return segments[1] == b"_inference" and b"" not in segments[2:]


def refusal(method: bytes, target: bytes, version: bytes) -> ProxyError | None:
    """Why a request line may not be passed on, if so."""
    if version not in _VERSIONS:
        return StatusError(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    if method == b"CONNECT":
        return StatusError(405, "method [CONNECT] is not allowed")
    if not method.isascii() or not method[:1].isalpha():
        return IllegalArgument("invalid HTTP request: Invalid method encountered")
    # Elasticsearch takes `/_inference#x` for `/_inference`: a fragment could dodge interception.
    if not target.startswith(b"/") or b"#" in target:
        return IllegalArgument("the request target must start with [/] and hold no fragment")
    return None


def request_head(method: bytes, target: bytes, version: bytes, headers: Headers) -> RequestHead:
    """The head that these parsed parts make.

    Raises: ProxyError, what the caller has to be told; its connection cannot be read any further.
    """
    error = refusal(method, target, version)
    if error is not None:
        raise error
    minor = _VERSIONS[version]
    kept: Headers = []
    notable: dict[bytes, bytes] = {}
    for pair in headers:
        name = pair[0].lower()
        if name in _NOTABLE:
            if name in notable:
                if name in SINGLE:
                    reason = f"multiple values for single-valued header [{SINGLE[name]}]."
                    raise IllegalArgument(reason)
                notable[name] += b"," + pair[1]
                continue
            if name == b"content-length":
                pair = (pair[0], _length(pair[1]))
            notable[name] = pair[1]
            if name in HOP_BY_HOP:
                continue
        kept.append(pair)
    body_length = _body_length(notable, minor)
    if b"host" not in notable:
        if minor == 1:
            raise IllegalArgument("invalid HTTP request: no Host header")
        kept.insert(0, (b"Host", b""))  # HTTP/1.0 knows no Host, and the head goes on as HTTP/1.1
    if notable.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise StatusError(417, "only the expectation [100-continue] can be met")
    return RequestHead(
        method=method,
        target=target,
        headers=kept,
        body_length=body_length,
        keep_alive=_keeps_alive(notable.get(b"connection"), minor),
        minor=minor,
        expects=b"expect" in notable,
        inference=is_inference(target),
    )


def _length(value: bytes) -> bytes:
    """A Content-Length as it is sent on: the plain number."""
    digits = value.strip(b" \t")
    if not digits.isdigit() or len(digits) > 18:
        raise IllegalArgument("invalid HTTP request: invalid Content-Length")
    return b"%d" % int(digits)


def _body_length(notable: dict[bytes, bytes], minor: int) -> int | None:
    coding = notable.get(b"transfer-encoding")
    if coding is None:
        return int(notable.get(b"content-length", b"0"))
    if b"content-length" in notable or minor == 0:
        raise IllegalArgument("invalid HTTP request: ambiguous message length")
    if coding.strip(b" \t").lower() != b"chunked":
        raise StatusError(501, "the only transfer coding supported is [chunked]")
    return None


def _keeps_alive(connection: bytes | None, minor: int) -> bool:
    if connection is None:
        return minor == 1
    if connection in (b"keep-alive", b"Keep-Alive"):
        return True
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options if minor == 1 else b"keep-alive" in options


class _Template:
    """Headers as they were sent, with the digits of their Content-Length left open.

    Most heads differ from the one before on their connection in nothing else: what they mean need
    not be found out again.
    """

    __slots__ = ("after", "before", "sized")

    def __init__(self, headers: bytes) -> None:
        length = _LENGTH.search(headers)
        self.sized = length is not None
        self.before = headers if length is None else headers[: length.start(1)]
        self.after = b"" if length is None else headers[length.end(1) :]

    def fit(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where headers of this form end in `data` from `start`, and what length they give.

        Without a Content-Length it is 0. None if the headers are others.
        """
        if not data.startswith(self.before, start):
            return None
        end = start + len(self.before)
        if not self.sized:
            return end, 0
        digits = _DIGITS.match(data, end)
        if digits is None or not data.startswith(self.after, digits.end()):
            return None
        return digits.end() + len(self.after), int(digits[0])


class RequestParser:
    """Reads request heads from one connection's bytes, wherever they are cut.

    llhttp in its strict mode does the reading; what it lets through is judged by `request_head`.
    Bodies are not its business: once it has given out a head, it waits for the next one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit  # bytes of a head
        self._raw = b""  # the part of a head that has come so far
        self._last: RequestHead | None = None  # the last head, unless it was in HTTP/1.0
        self._last_raw = b""
        self._came = self._went = _Template(b"")  # how its headers were sent, and passed on
        self._length_at = 0  # which of them is the Content-Length, if there is one
        self._headers: Headers = []
        self._complete = False
        self._llhttp = HttpRequestParser(self)

    @property
    def reading(self) -> bool:
        """Whether a part of a head has come, and not the rest; empty lines are none."""
        return bool(self._raw.strip(b"\r\n"))

    def feed(self, data: bytes) -> tuple[RequestHead | None, bytes]:
        """The head that `data` completes, if any, and the bytes that follow it.

        Raises: ProxyError, as `request_head`, and for what llhttp does not take.
        """
        if self._last is not None:
            if data == self._last_raw:  # the same again: most are
                return self._last, b""
            known = self._known(self._last, data)
            if known is not None:
                return known, data[len(self._last_raw) :]
        while data:
            seen = len(self._raw)
            raw = self._raw + data if seen else data
            end = raw.find(b"\r\n\r\n", max(seen - 3, 0)) + 4
            whole = end >= 4
            if (end if whole else len(raw)) > self._limit:
                raise StatusError(431, f"the request's head is larger than [{self._limit}] bytes")
            self._execute(raw[seen:end] if whole else data)
            if not whole:
                self._raw = raw
                self._last = None  # what comes next does not begin a head
                return None, b""
            data = raw[end:]
            self._raw = b""
            if self._complete:
                return self._head(raw[:end]), data
            # Only empty lines so far, which may come before a request.
        return None, b""

    def _known(self, last: RequestHead, data: bytes) -> RequestHead | None:
        """The head that `data` begins with, if its headers are the last ones but for the length."""
        if data.startswith(self._last_raw):
            return last
        start = data.find(b"\r\n")
        found = self._came.fit(data, start)
        if found is None or found[0] > self._limit:
            return None
        line = _REQUEST_LINE.fullmatch(data, 0, start)
        if line is None:
            return None
        end, length = found
        whole, last.method, last.target = line.group(0, 1, 2)
        last.inference = is_inference(last.target)
        # One request is under way at a time: nobody holds the last head any more.
        if self._came.sized:
            digits = b"%d" % length
            last.headers[self._length_at] = (last.headers[self._length_at][0], digits)
            last.body_length = length
            last.onward = whole + self._went.before + digits + self._went.after
        else:
            last.onward = whole + self._went.before
        self._last_raw = data[:end]
        return last

    def _execute(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade:
            pass  # `Upgrade` is not passed on; CONNECT is refused with the rest of the head
        except HttpParserError as error:
            reason = str(error)  # llhttp's own fixed texts
            if "Invalid HTTP version" in reason or "PRI" in reason:
                raise StatusError(505, "only HTTP/1.1 and HTTP/1.0 are supported") from None
            if "Transfer-Encoding` header" in reason or "has invalid `Transfer" in reason:
                raise StatusError(501, "the only transfer coding supported is [chunked]") from None
            raise IllegalArgument(f"invalid HTTP request: {reason}") from None

    def _head(self, raw: bytes) -> RequestHead:
        while raw.startswith(b"\r\n"):
            raw = raw[2:]
        line = raw[: raw.find(b"\r\n")]
        parts = line.split(b" ")
        if not raw.isascii():
            _check_text(self._headers)
        if len(parts) == 2:
            parts.append(b"HTTP/0.9")
        if len(parts) != 3:
            raise IllegalArgument("invalid HTTP request: invalid request line")
        head = request_head(parts[0], parts[1], parts[2], self._headers)
        self._last = None if head.expects or head.minor == 0 else head
        self._last_raw = raw
        self._came = _Template(raw[len(line) :])
        if self._came.sized:
            names = [name.lower() for name, _ in head.headers]
            self._length_at = names.index(b"content-length")
        head.onward = head.forwarded()
        self._went = _Template(head.onward[len(line) :])
        self._headers = []
        self._complete = False
        if head.body_length != 0 or b"proxy-connection" in raw.lower():
            # This one waits for the body, and won't see it; or it takes `Proxy-Connection: close`
            # for more than it is.
            self._llhttp = HttpRequestParser(self)
        return head

    # What llhttp calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._complete:  # pragma: no cover - llhttp and `feed` disagree about where heads end
            raise Malformed("two heads in one")
        self._complete = True


def _check_text(headers: Iterable[tuple[bytes, bytes]]) -> None:
    for _, value in headers:
        try:
            value.decode()
        except UnicodeDecodeError:
            raise IllegalArgument("invalid HTTP request: a header is not UTF-8") from None


# --- answers ------------------------------------------------------------------------------------

_ANSWER: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*+)?"
    rb"(?:\r\n[!#-'*+\-.^-z|~A-Z0-9]++:[^\r\n\0]*+)*\r\n\r\n"
)
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
        self.as_it_is = whole and 200 <= self.status < 400

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
        keep_alive=_keeps_alive(connection, minor) and (length is not None or coding is not None),
        clean=clean and minor == 1,
    )


class AnswerParser:
    """Reads the heads of answers from one connection's bytes, wherever they are cut."""

    __slots__ = ("_came", "_last", "_raw")

    def is_whole(self, data: bytes, method: bytes) -> bool:
        """Whether `data` is one whole answer whose head is the last one but for the length.

        Only for heads that any caller of HTTP/1.1 may get as they are, on a connection that stays.
        """
        last = self._last
        if last is None or last.method != method or not last.as_it_is:
            return False
        if data.startswith(last.raw):
            return len(data) == len(last.raw) + cast(int, last.length)
        found = self._came.fit(data, 0) if last.length else None
        return found is not None and len(data) == found[0] + found[1]

    def __init__(self) -> None:
        self._raw = b""  # the part of a head that has come so far
        self._last: AnswerHead | None = None
        self._came = _Template(b"")

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
        self._came = _Template(data[:end])
        return self._last, data[end:]

    def _known(self, data: bytes, method: bytes) -> AnswerHead | None:
        """The head that `data` begins with, if it is the last one but for the length."""
        last = self._last
        if last is None or last.method != method:
            return None
        if data.startswith(last.raw):
            return last
        found = self._came.fit(data, 0) if last.length else None
        if found is None:
            return None
        end, length = found
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
        b"content-length: %d\r\n%b\r\n"
    )
    phrase = HTTPStatus(error.status).phrase.encode()
    connection = b"" if keep_alive else b"Connection: close\r\n"
    answer = head % (error.status, phrase, len(body), connection)
    return answer if method == b"HEAD" else answer + body


# --- bodies -------------------------------------------------------------------------------------


class Body:
    """A body on its way: what of the connection's bytes belongs to it, and what of that goes on."""

    __slots__ = ("ended",)
    until_close = False  # whether only the end of the connection ends it

    def __init__(self) -> None:
        self.ended = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """The bytes to pass on for `data`, and how many of its bytes belong to the body.

        Raises: Malformed
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
    """A body that lasts until its connection closes."""

    __slots__ = ()
    until_close = True

    def feed(self, data: bytes) -> tuple[bytes, int]:
        return data, len(data)


_TOKEN: Final = rb"[!#-'*+\-.^-z|~A-Z0-9]+"
_EXTENSION: Final = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*"))?'
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
_TRAILER: Final = re.compile(rb"(" + _TOKEN + rb"):[\t\x20-\x7e\x80-\xff]*")
_TRAILER_LIMIT: Final = 16384  # bytes of all trailers
# Headers that must not be smuggled in at the end of a body.
_NO_TRAILERS: Final = HOP_BY_HOP | SINGLE.keys()


class ChunkedBody(Body):
    """A chunked body, passed on as it is.

    Read strictly: RFC 9112 section 7.1 and nothing more, so that no other reader can find another
    end.
    """

    __slots__ = ("_after_data", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        super().__init__()
        self._left = 0  # bytes of the current chunk still to come
        self._after_data = False  # the line break behind a chunk's payload is due
        self._line = b""  # the part of a line that has come so far
        self._trailers = -1  # their bytes so far; -1 before the last chunk

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
    """A chunked body whose chunks are written anew: no extension, no trailer, no odd spelling."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        payload, used = self._payload(data)
        part = b"".join(payload)
        if part:
            part = b"%x\r\n%b\r\n" % (len(part), part)
        return (part + b"0\r\n\r\n" if self.ended else part), used


class UnchunkedBody(ChunkedBody):
    """The payload of a chunked body, for HTTP/1.0."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        payload, used = self._payload(data)
        return b"".join(payload), used
