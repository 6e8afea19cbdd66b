"""A plain HTTP client that sends exactly what it is told, and adds nothing."""

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
    """One whole answer; `body` is as it came, chunks joined."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by a comma; None if there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def content(self) -> bytes:
        """The body with its content coding undone."""
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

    `target` goes out as it is. A Content-Length is added to a body of bytes; any other body is
    sent in chunks, one for each item.
    """
    url = URL(base)
    connection = HTTPConnection(url.host or "", url.port, timeout=timeout)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
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
