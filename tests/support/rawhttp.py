"""A plain HTTP client that sends exactly what it is given and adds no headers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection

from yarl import URL

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete response; `body` is still encoded, its chunks joined."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, or several joined by commas; None if it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def content(self) -> bytes:
        """The decoded body."""
        coding = self.header("content-encoding")
        if coding == "gzip" and self.body:
            return gzip.decompress(self.body)
        return zlib.decompress(self.body) if coding == "deflate" and self.body else self.body

    @property
    def text(self) -> str:
        return self.content.decode()


def send(
    base: str,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | Iterable[bytes] | None = None,
    timeout: float = 60.0,
) -> Answer:
    """Send one request over a connection of its own.

    `target` is sent as it is. A body of bytes gets a Content-Length; any other iterable is sent
    chunked, one chunk per item.
    """
    url = URL(base)
    connection = HTTPConnection(url.host or "", url.port, timeout=timeout)
    try:
        own_host = any(name.lower() == "host" for name, _ in headers)
        connection.putrequest(method, target, skip_host=own_host, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(status=response.status, headers=response.getheaders(), body=response.read())
    finally:
        connection.close()
