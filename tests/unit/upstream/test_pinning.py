"""An upstream known by a fingerprint, over real TLS, by each way that the proxy connects."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
import uvloop
from aiohttp import ClientSession, TCPConnector

from proxy.config import UpstreamConfig
from proxy.upstream.tls import upstream_tls
from tests.support.certificates import certificate

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def fingerprint(pem: Path) -> str:
    der = ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----BEGIN PRIVATE")[0])
    return hashlib.sha256(der).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """An authority, a server's certificate signed by it, and what somebody else could make."""
    authority = certificate(tmp_path / "authority.pem")
    certificate(tmp_path / "server.pem", issuer=authority, is_authority=False)
    # Whoever has a certificate of the authority is no authority.
    certificate(tmp_path / "forged.pem", issuer=tmp_path / "server.pem")
    # And anybody can send the authority's certificate along, under its name.
    (tmp_path / "other").mkdir()
    mine = certificate(tmp_path / "other" / "authority.pem")
    claimed = certificate(tmp_path / "claimed.pem", issuer=mine)
    text = claimed.read_text()
    genuine = authority.read_text().partition("-----BEGIN PRIVATE")[0]
    end = text.index("-----END PRIVATE KEY-----\n") + len("-----END PRIVATE KEY-----\n")
    claimed.write_text(text[:end] + genuine)
    return tmp_path


async def by_lane(url, context):
    host, port = url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: es\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.endswith(b"ok")


async def by_application(url, context):
    async with ClientSession(connector=TCPConnector(ssl=context)) as session, session.get(url) as a:
        return await a.read() == b"ok"


async def reached(pem, config, way):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        return await way(url, upstream_tls(UpstreamConfig(url=url, fingerprint=config)))
    except OSError:  # aiohttp's and ssl's are
        return False
    finally:
        server.close()


@pytest.mark.parametrize("way", [by_lane, by_application])
@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize(
    ("served", "pinned", "expected"),
    [
        ("server", "authority", True),
        ("server", "server", True),
        ("server", "claimed", False),
        ("forged", "authority", False),
        ("forged", "server", False),
        ("claimed", "authority", False),
        ("authority", "authority", True),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_only_what_the_certificate_vouches_for_is_spoken_to(
    folder, served, pinned, expected, loop, way
):
    digest = fingerprint(folder / f"{pinned}.pem")
    with_colons = ":".join(digest[n : n + 2] for n in range(0, 64, 2)).upper()
    with asyncio.Runner(loop_factory=loop) as runner:
        for text in (digest, with_colons):
            assert runner.run(reached(folder / f"{served}.pem", text, way)) is expected
