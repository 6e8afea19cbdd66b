"""HTTP/1.1 as bytes: requests as an attacker wants them, and just enough to read any answer."""

from __future__ import annotations

import gzip
import re
import ssl
from asyncio import StreamReader
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import orjson

PROBER: Final = "prober"  # the unrelated caller
ATTACKER: Final = "mallory"
NOBODY: Final = "nobody"  # an attacker whom the upstream knows, and who may do nothing
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def basic(user: str, scheme: str = "Basic") -> str:
    return f"{scheme} {b64encode(f'{user}:password'.encode()).decode()}"


def request(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    user: str | None = ATTACKER,
    zipped: bool = False,
) -> bytes:
    """A whole request."""
    lines = {"Host": "siege"}
    if user is not None:
        lines["Authorization"] = basic(user)
    if zipped:
        body = gzip.compress(body, 6)
        lines["Content-Encoding"] = "gzip"
    if body:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= headers or {}
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode() + body


def put(
    target: str, url: str, *, user: str = ATTACKER, zipped: bool = False, **settings: Any
) -> bytes:
    """A request that makes an endpoint at `url`."""
    limit = {"requests_per_minute": 1_000_000}
    settings = {"url": url, "api_key": "secret", "rate_limit": limit, **settings}
    body = orjson.dumps({"service": "hugging_face", "service_settings": settings})
    return request("PUT", target, body, user=user, zipped=zipped)


async def read_answer(reader: StreamReader) -> int:
    """Read an answer to its end; its status. Raises: EOFError, OSError."""
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is not None:
        await _skip(reader, int(length[1]))
    elif b"chunked" in head.lower():
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await _skip(reader, size + 2)
        await reader.readuntil(b"\r\n")
    return int(head[9:12])


async def _skip(reader: StreamReader, count: int) -> None:
    while count:
        piece = await reader.read(min(count, 1 << 20))
        if not piece:
            raise EOFError
        count -= len(piece)


def any_certificate() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def address_of(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
