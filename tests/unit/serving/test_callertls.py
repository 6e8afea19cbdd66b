"""The certificate that callers see."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from cryptography import x509

from proxy.config import ConfigError, TlsConfig
from proxy.serving.callertls import CallerTls
from tests.support.certificates import certificate


async def serial_seen(server: asyncio.Server) -> int:
    """The serial number of the certificate that a new connection gets."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    address = server.sockets[0].getsockname()
    _, writer = await asyncio.open_connection(*address, ssl=trusting)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def test_new_connections_get_the_renewed_certificate_and_no_broken_one(tmp_path):
    pem = certificate(tmp_path / "cert.pem", serial=1)
    tls = CallerTls.of(TlsConfig(certificate=pem))
    assert tls is not None

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        assert await serial_seen(server) == 1
        certificate(pem, serial=2)
        assert await serial_seen(server) == 1
        tls.reload()
        assert await serial_seen(server) == 2
        pem.write_text("not a certificate")
        with pytest.raises(ConfigError, match=r"\[tls.certificate\] cannot use"):
            tls.reload()
        assert await serial_seen(server) == 2


def test_without_a_certificate_callers_speak_plain_http():
    assert CallerTls.of(TlsConfig()) is None
