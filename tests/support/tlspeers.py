"""Upstreams whose TLS does not fit the proxy's configuration, one for each kind of misfit."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.config import UpstreamConfig
from tests.support.certificates import certificate

# What is said of each.
MISFITS: Final = {
    "speaks tls": "speaks TLS: use https:// in [upstream.url]",
    "answers plain http with an alert": "speaks TLS: use https:// in [upstream.url]",
    "breaks off": "it broke the TLS handshake off: check that it speaks TLS",
    "speaks http": "it does not speak TLS: use http:// in [upstream.url]",
    "is not trusted": "its certificate is not trusted (self-signed certificate)",
    "has expired": "its certificate has expired",
    "has another name": "its certificate is for another host name than that in [upstream.url]",
    "has another fingerprint": "its certificate does not have the configured fingerprint",
}


@dataclass(frozen=True, slots=True)
class Misfit:
    upstream: UpstreamConfig
    text: str  # what the proxy says about it

    @property
    def url(self) -> str:
        return self.upstream.urls[0]


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server of plain HTTP says to a TLS handshake."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
    writer.close()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read(1)
    writer.close()


@asynccontextmanager
async def misfit(name: str, folder: Path) -> AsyncIterator[Misfit]:
    address = "127.0.0.2" if name == "has another name" else "127.0.0.1"
    hours = -1 if name == "has expired" else 1
    pem = certificate(folder / "upstream.pem", address=address, hours=hours)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    plain = {
        "speaks http": _refuse,
        "breaks off": _reset,
        "answers plain http with an alert": _alert,
    }.get(name)
    server = await asyncio.start_server(
        plain or _end, "127.0.0.1", 0, ssl=None if plain else context
    )
    scheme = "http" if MISFITS[name].startswith("speaks") else "https"
    upstream = UpstreamConfig(
        url=f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        ca_file=None if name == "is not trusted" else pem,
        fingerprint="ab" * 32 if name == "has another fingerprint" else None,
    )
    try:
        yield Misfit(upstream, MISFITS[name])
    finally:
        server.close()
