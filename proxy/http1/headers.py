"""What is true of the headers of requests and answers alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.errors import IllegalArgument

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
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]{1,18})[ \t]*+\r\n", re.IGNORECASE)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")

_X_FORWARDED: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """Bytes that are no HTTP/1 message; the text never quotes them."""


def check_text(values: Iterable[bytes]) -> None:
    """Raises: IllegalArgument for a value of a header that is not UTF-8."""
    for value in values:
        try:
            value.decode()
        except UnicodeDecodeError:
            raise IllegalArgument("invalid HTTP request: a header is not UTF-8") from None


def keeps_alive(connection: bytes | None, minor: int) -> bool:
    if connection is None:
        return minor == 1
    if connection in (b"keep-alive", b"Keep-Alive"):
        return True
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options if minor == 1 else b"keep-alive" in options


class Template:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What a request tells the upstream about the way it has come."""

    host: bytes | None = None  # instead of the caller's Host
    x_forwarded: str = "pass"  # as it came; `append` to what came, or `replace` it

    @property
    def changes_nothing(self) -> bool:
        return self.host is None and self.x_forwarded == "pass"

    def applied(self, headers: Headers, *, peer: str, scheme: bytes) -> Headers:
        """The headers to be sent for a caller at the address `peer`."""
        host = next((value for name, value in headers if name.lower() == b"host"), b"")
        kept = headers
        if self.host is not None:
            kept = [(n, self.host if n.lower() == b"host" else value) for n, value in kept]
        if self.x_forwarded == "pass":
            return kept
        came: dict[bytes, list[bytes]] = {}
        dropped = {*_X_FORWARDED, b"x-forwarded-port", b"x-real-ip", b"forwarded"}
        if self.x_forwarded == "append":
            for name, value in headers:
                came.setdefault(name.lower(), []).append(value)
            dropped = {*_X_FORWARDED}
        way = b", ".join([*came.get(b"x-forwarded-for", []), peer.encode()])
        return [
            *((name, value) for name, value in kept if name.lower() not in dropped),
            (b"X-Forwarded-For", way),
            (b"X-Forwarded-Proto", came.get(b"x-forwarded-proto", [scheme])[0]),
            (b"X-Forwarded-Host", came.get(b"x-forwarded-host", [host])[0]),
        ]
