"""Rules about headers that requests and answers share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.ground import freshness
from proxy.ground.errors import IllegalArgument

Headers = list[tuple[bytes, bytes]]

# Headers for one connection only, which are not forwarded. Source: RFC 9110 section 7.6.1, except
# that headers which `Connection` names are kept: "Connection: es-security-runas-user" would make a
# request run as another user than its sender meant.
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
# Headers by which callers tell the proxy something. Requests with one of them are answered by the
# application, which does not pass it on.
OWN: Final = frozenset((freshness.HEADER.lower().encode(),))
# A request with two of these is refused. The key is the name in lower case, the value the name as
# Elasticsearch spells it in its error.
SINGLE: Final = {
    b"authorization": "Authorization",
    b"content-length": "Content-Length",
    b"expect": "Expect",
    b"host": "Host",
    b"transfer-encoding": "Transfer-Encoding",
    b"x-opaque-id": "X-Opaque-Id",
}
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]{1,18})[ \t]*+\r\n", re.IGNORECASE)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")

_X_FORWARDED: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """Bytes that are not a valid HTTP/1 message; the text never quotes them."""


def check_text(values: Iterable[bytes]) -> None:
    """Raises: IllegalArgument for a value of a header that is not UTF-8."""
    for value in values:
        try:
            value.decode()
        except UnicodeDecodeError:
            raise IllegalArgument("invalid HTTP request: a header is not UTF-8") from None


def encoded_head(line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a message that begins with that line, its empty line included.

    Raises: ValueError for a header, or a line, with a line break.
    """
    lines = [line, *[f"{name}: {value}" for name, value in headers]]
    head = "\r\n".join(lines)
    if head.count("\n") >= len(lines) or head.count("\r") >= len(lines):
        raise ValueError("a header with a line break")
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def keeps_alive(connection: bytes | None, minor: int) -> bool:
    """Whether a connection outlives a message of HTTP/1.`minor` with this `Connection` header."""
    if connection is None:
        return minor == 1
    if connection in (b"keep-alive", b"Keep-Alive"):
        return True
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options if minor == 1 else b"keep-alive" in options


class Template:
    """The headers of one message, with a gap where the digits of the Content-Length are.

    Most heads differ from the one before them on their connection in these digits only. Such a head
    is recognised by its template, and not parsed again.
    """

    __slots__ = ("after", "before", "sized")

    def __init__(self, headers: bytes) -> None:
        length = _LENGTH.search(headers)
        self.sized = length is not None
        self.before = headers if length is None else headers[: length.start(1)]
        self.after = b"" if length is None else headers[length.end(1) :]

    def fit(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the headers that begin at `start` end, and their Content-Length.

        The length is 0 if there is no such header. None if `data` has other headers than these.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What the upstream is told about the caller and the proxy, by `Host` and `X-Forwarded-*`."""

    host: bytes | None = None  # sent instead of the caller's Host
    x_forwarded: str = "pass"  # `pass` on what the caller sent, `append` to it, or `replace` it

    @property
    def changes_nothing(self) -> bool:
        return self.host is None and self.x_forwarded == "pass"

    def applied(self, headers: Headers, *, peer: str, scheme: bytes) -> Headers:
        """The headers to send upstream for a caller at the address `peer`, who speaks `scheme`."""
        host = next((value for name, value in headers if name.lower() == b"host"), b"")
        sent = headers
        if self.host is not None:
            sent = [(n, self.host if n.lower() == b"host" else value) for n, value in sent]
        if self.x_forwarded == "pass":
            return sent
        received: dict[bytes, list[bytes]] = {}
        dropped = {*_X_FORWARDED, b"x-forwarded-port", b"x-real-ip", b"forwarded"}
        if self.x_forwarded == "append":
            for name, value in headers:
                received.setdefault(name.lower(), []).append(value)
            dropped = {*_X_FORWARDED}
        addresses = b", ".join([*received.get(b"x-forwarded-for", []), peer.encode()])
        return [
            *((name, value) for name, value in sent if name.lower() not in dropped),
            (b"X-Forwarded-For", addresses),
            (b"X-Forwarded-Proto", received.get(b"x-forwarded-proto", [scheme])[0]),
            (b"X-Forwarded-Host", received.get(b"x-forwarded-host", [host])[0]),
        ]
