"""The heads of requests: which may be passed on, and in which form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.http1.headers import (
    HOP_BY_HOP,
    OWN,
    SINGLE,
    Headers,
    Malformed,
    Template,
    check_text,
    keeps_alive,
)

_NOTABLE: Final = HOP_BY_HOP | OWN | SINGLE.keys()
_VERSIONS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
# The request line of nearly every request; llhttp reads the others.
_REQUEST_LINE: Final = re.compile(rb"(GET|POST|PUT|HEAD|DELETE) (/[!\"$-~]*+) HTTP/1\.1(?=\r\n)")
# The beginning of a request line with a method that llhttp may not know, as far as it has come.
# Small letters and digits before a method are rather the rest of something else.
_ANY_METHOD: Final = re.compile(rb"(?:\r\n)*+[A-Z][A-Z_-]{0,30}+(?: |\Z)")
_BLANK_LINES: Final = re.compile(rb"(?:\r\n)*+")
# Headers of a request. Elasticsearch's clients send ten; each costs time, whatever is in it.
_MAX_HEADERS: Final = 500
_SHORTEST_HEADER: Final = 4  # bytes, with the end of its line
_OF_ANOTHER_PROTOCOL: Final = "Invalid method for HTTP/x.x request"  # llhttp's words
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"))
# What Elasticsearch's clients send by POST although it changes nothing.
_READS: Final = re.compile(
    rb"/(?:[^/?]+/)?(?:_search(?:/template)?|_msearch(?:/template)?|_count|_mget|_field_caps|_analyze"
    rb"|_validate/query|_terms_enum|_termvectors(?:/[^/?]+)?|_mtermvectors|_explain/[^/?]+"
    rb"|_search_shards|_rank_eval|_render/template)/*(?:\?.*)?"
)


# Not frozen, as that costs a microsecond for each request.
@dataclass(slots=True, kw_only=True)
class RequestHead:
    """The head of a request that may be passed on."""

    method: bytes
    target: bytes  # as it was sent: routed and forwarded without being decoded
    headers: Headers  # end-to-end, in their order and spelling; Content-Length as a plain number
    body_length: int | None  # bytes; None when chunked
    keep_alive: bool
    minor: int  # 0 for HTTP/1.0, 1 for HTTP/1.1
    expects: bool  # whether its sender may hold the body back until it gets a 100
    encoded: bytes = field(default=b"", compare=False)  # what `forwarded` returns, kept
    own: Headers = field(default_factory=list)  # for the proxy alone, apart from the others

    def again(self) -> RequestHead:
        """The same head, for another connection."""
        return RequestHead(
            method=self.method,
            target=self.target,
            headers=self.headers.copy(),
            body_length=self.body_length,
            keep_alive=self.keep_alive,
            minor=self.minor,
            expects=self.expects,
            encoded=self.encoded,
            own=self.own,
        )

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent a second time although the first may have been executed.

        Source: RFC 9110 section 9.2.2.
        """
        if self.method == b"POST":
            return _READS.fullmatch(self.target) is not None
        return self.method in _IDEMPOTENT

    def forwarded(self) -> bytes:
        """The head to send on, with the body's framing as it was parsed.

        One with headers of `own` is for the application, and must not go upstream.
        """
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target)]
        lines += [b"%b: %b" % pair for pair in self.headers]
        lines += [b"%b: %b" % pair for pair in self.own]
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n" if self.body_length is None else b"\r\n")
        return b"\r\n".join(lines)


def refusal(method: bytes, target: bytes, version: bytes) -> ProxyError | None:
    """Why a request line may not be passed on; None if it may."""
    if version not in _VERSIONS:
        return StatusError(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    if method == b"CONNECT":
        return StatusError(405, "method [CONNECT] is not allowed")
    if not method.isascii() or not method[:1].isalpha():
        return IllegalArgument("invalid HTTP request: Invalid method encountered")
    # Elasticsearch routes `/_inference#x` like `/_inference`: it must not slip past interception.
    if not target.startswith(b"/") or b"#" in target:
        return IllegalArgument("the request target must start with [/] and hold no fragment")
    return None


def request_head(method: bytes, target: bytes, version: bytes, headers: Headers) -> RequestHead:
    """The head of a request with this request line and these headers.

    Raises: ProxyError for a request that must not be passed on. Where it ends is not known then, so
    nothing more can be read from its connection.
    """
    error = refusal(method, target, version)
    if error is not None:
        raise error
    minor = _VERSIONS[version]
    kept: Headers = []
    own: Headers = []
    notable: dict[bytes, bytes] = {}
    for pair in headers:
        name = pair[0].lower()
        if name in _NOTABLE:
            if name in notable:
                if name in SINGLE:
                    raise _second(name, notable[name])
                notable[name] += b"," + pair[1]
                continue
            if name == b"content-length":
                pair = (pair[0], _length(pair[1]))
            notable[name] = pair[1]
            if name in HOP_BY_HOP:
                continue
            if name in OWN:
                own.append(pair)
                continue
        kept.append(pair)
    body_length = _body_length(notable, minor)
    if b"host" not in notable:
        if minor == 1:
            raise IllegalArgument("invalid HTTP request: no Host header")
        kept.insert(0, (b"Host", b""))  # HTTP/1.0 knows no Host; HTTP/1.1, which is sent, needs one
    if notable.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise StatusError(417, "only the expectation [100-continue] can be met")
    return RequestHead(
        method=method,
        target=target,
        headers=kept,
        body_length=body_length,
        keep_alive=keeps_alive(notable.get(b"connection"), minor),
        minor=minor,
        expects=b"expect" in notable,
        own=own,
    )


def _second(name: bytes, first: bytes) -> ProxyError:
    error = IllegalArgument(f"multiple values for single-valued header [{SINGLE[name]}].")
    if name == b"x-opaque-id":  # Elasticsearch repeats it in every answer, also in this one
        error.headers = [(SINGLE[name], first.decode())]
    return error


def _length(value: bytes) -> bytes:
    """A Content-Length as a plain number, without zeros or blanks around it."""
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


class _UnheardMethod(IllegalArgument):
    """llhttp does not know the method, if it is one."""


class Parsers:
    """The parsers of all connections of a listener, which learn from each other."""

    def __init__(self) -> None:
        self.last: RequestParser | None = None  # that has parsed a head


class RequestParser:
    """Reads the heads of requests from one connection's bytes, wherever these are cut.

    llhttp parses them in its strict mode, and `request_head` judges what it accepts. Bodies are
    left to the caller: behind one head the parser expects the next.

    The last head is remembered. One that differs from it only in the request line and the value of
    Content-Length is not parsed again; the same `RequestHead` is given out with these changed. The
    first head of a connection is often like one on another, as clients are alike.
    """

    def __init__(
        self,
        limit: int,
        rewrite: Callable[[Headers], Headers] | None = None,
        others: Parsers | None = None,
    ) -> None:
        """`limit` is in bytes of a head; `rewrite` changes the headers that are to be sent on.

        `others` have the same limit, and rewrite nothing.
        """
        self._limit = limit
        self._rewrite = rewrite
        self._others = others
        self._raw = b""  # what has come of a head that is not complete
        self._blank = 0  # bytes of empty lines since the last head
        self._last: RequestHead | None = None  # the last head, if it can come again
        self._last_raw = b""
        self._received = self._sent = Template(b"")  # its headers as received, and as sent on
        self._length_at = 0  # the place of Content-Length among them, if it is there
        self._headers: Headers = []
        self._complete = False
        self._unheard = False  # whether llhttp does not know the method of the head that comes
        # There is one as long as a head comes: it refers to this object, as this does to it. One
        # that has read a head would wait for a body, which it does not get.
        self._llhttp: HttpRequestParser | None = None

    @property
    def reading(self) -> bool:
        """Whether a part of a head has come, and not yet the rest; empty lines do not count."""
        return bool(self._raw.strip(b"\r\n"))

    @property
    def kept(self) -> int:
        """Bytes that are kept of a head: what has come, and what llhttp has made of it."""
        return 2 * len(self._raw)

    def forget(self) -> None:
        """Nothing more is going to be read: drop what has come of a head."""
        self._raw, self._headers = b"", []
        self._llhttp = None

    def feed(self, data: bytes) -> tuple[RequestHead | None, bytes]:
        """The head that `data` completes, if any, and the bytes that follow it.

        Raises: ProxyError as `request_head`, and for what llhttp rejects.
        """
        if self._last is None and self._others is not None and not (self._raw or self._blank):
            self._learn(self._others.last, data)
        if self._last is not None:
            if data == self._last_raw:
                return self._last, b""
            known = self._known(self._last, data)
            if known is not None:
                return known, data[len(self._last_raw) :]
        while data:
            seen = len(self._raw)
            if not seen and data.startswith(b"\r\n\r\n"):
                data = self._without_blank_lines(data)
                continue
            raw = self._raw + data if seen else data
            end = raw.find(b"\r\n\r\n", max(seen - 3, 0)) + 4
            complete = end >= 4
            self._check_size(raw, end if complete else len(raw))
            self._read(raw[:end] if complete else raw, seen, complete)
            if not complete:
                self._raw = raw
                self._last = None  # what comes next is not the beginning of a head
                return None, b""
            data = raw[end:]
            self._raw = b""
            if self._complete:
                return self._head(raw[:end]), data
            # Only empty lines so far. Source: RFC 9112 section 2.2.
        return None, b""

    def _without_blank_lines(self, data: bytes) -> bytes:
        """What comes behind them. They count as part of the head that follows."""
        match = _BLANK_LINES.match(data, 0, self._limit + 2)
        end = cast(re.Match[bytes], match).end()
        self._blank += end
        self._last = None  # the head behind them is read, which ends the count
        if self._blank > self._limit:
            raise self._too_large()
        return data[end:]

    def _check_size(self, raw: bytes, end: int) -> None:
        """Raises: StatusError for a head that ends, or has come up to `end`, and is too large."""
        if end > self._limit:
            raise self._too_large()
        if end > _MAX_HEADERS * _SHORTEST_HEADER and raw.count(b"\n", 0, end) > _MAX_HEADERS + 2:
            raise StatusError(431, f"the request's head has more than [{_MAX_HEADERS}] headers")

    def _too_large(self) -> ProxyError:
        return StatusError(431, f"the request's head is larger than [{self._limit}] bytes")

    def _learn(self, other: RequestParser | None, data: bytes) -> None:
        """Know the head that another parser has read last, if `data` begins with one like it."""
        if other is None or other._last is None:
            return
        if not data.startswith(other._last_raw):
            line = _REQUEST_LINE.match(data)
            if line is None or other._received.fit(data, line.end()) is None:
                return
        self._last, self._last_raw = other._last.again(), other._last_raw
        self._received, self._sent = other._received, other._sent
        self._length_at = other._length_at

    def _known(self, last: RequestHead, data: bytes) -> RequestHead | None:
        """The head that `data` begins with, if it is like the last one, which it replaces."""
        if data.startswith(self._last_raw):
            return last
        line = _REQUEST_LINE.match(data)
        if line is None:
            return None
        found = self._received.fit(data, line.end())
        if found is None or found[0] > self._limit:
            return None
        end, length = found
        request_line, last.method, last.target = line.group(0, 1, 2)
        # One request is under way at a time, so nobody uses the last head any more.
        if self._received.sized:
            digits = b"%d" % length
            last.headers[self._length_at] = (last.headers[self._length_at][0], digits)
            last.body_length = length
            last.encoded = request_line + self._sent.before + digits + self._sent.after
        else:
            last.encoded = request_line + self._sent.before
        self._last_raw = data[:end]
        return last

    def _read(self, raw: bytes, seen: int, complete: bool) -> None:
        """Let llhttp read a head as far as it has come; `seen` is what it has read before."""
        if not self._unheard:
            try:
                self._execute(raw[seen:])
                return
            except _UnheardMethod:
                self._unheard = True
        method = _ANY_METHOD.match(raw)
        if method is None:
            raise IllegalArgument("invalid HTTP request: Invalid method encountered")
        if complete:
            # Whoever answers it knows what to say. The rest is read as that of any method.
            self._unheard = False
            self._llhttp, self._headers = None, []
            self._execute(b"POST " + raw[method.end() :])

    def _execute(self, data: bytes) -> None:
        if self._llhttp is None:
            self._llhttp = HttpRequestParser(self)
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade:
            pass  # `Upgrade` is dropped, and `request_head` refuses CONNECT
        except HttpParserError as error:
            reason = str(error)  # one of llhttp's fixed texts, which quote nothing
            if "Invalid HTTP version" in reason or "PRI" in reason:
                raise StatusError(505, "only HTTP/1.1 and HTTP/1.0 are supported") from None
            if "Transfer-Encoding` header" in reason or "has invalid `Transfer" in reason:
                raise StatusError(501, "the only transfer coding supported is [chunked]") from None
            unheard = isinstance(error, HttpParserInvalidMethodError)
            kind = _UnheardMethod if unheard or reason == _OF_ANOTHER_PROTOCOL else IllegalArgument
            raise kind(f"invalid HTTP request: {reason}") from None

    def _head(self, raw: bytes) -> RequestHead:
        while raw.startswith(b"\r\n"):
            raw = raw[2:]
        line = raw[: raw.find(b"\r\n")]
        parts = line.split(b" ")
        if not raw.isascii():
            check_text(value for _, value in self._headers)
        if len(parts) == 2:
            parts.append(b"HTTP/0.9")
        if len(parts) != 3:
            raise IllegalArgument("invalid HTTP request: invalid request line")
        head = request_head(parts[0], parts[1], parts[2], self._headers)
        if self._rewrite is not None:
            head.headers = self._rewrite(head.headers)
        self._last = None if head.expects or head.minor == 0 else head
        if self._last is not None and self._others is not None:
            self._others.last = self
        self._last_raw = raw
        self._received = Template(raw[len(line) :])
        if self._received.sized:
            names = [name.lower() for name, _ in head.headers]
            self._length_at = names.index(b"content-length")
        head.encoded = head.forwarded()
        self._sent = Template(head.encoded[len(line) :])
        self._headers = []
        self._blank = 0
        self._complete = False
        self._llhttp = None
        return head

    # --- called by llhttp

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._complete:  # pragma: no cover - llhttp and `feed` disagree about where heads end
            raise Malformed("two heads in one")
        self._complete = True
