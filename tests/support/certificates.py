"""Certificates for 127.0.0.1, self-signed or signed by one another."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(
    pem: Path,
    serial: int = 1,
    *,
    issuer: Path | None = None,
    is_authority: bool = True,
    address: str = "127.0.0.1",
    hours: int = 1,
) -> Path:
    """Write a certificate, its key and the chain of its `issuer` to `pem`.

    It is valid for so many hours from now on; a negative number means that it has expired.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, pem.stem)])
    chain, signer, signer_name = b"", key, name
    if issuer is not None:
        parts = issuer.read_bytes()
        signer = cast(ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(parts, None))
        certificates = x509.load_pem_x509_certificates(parts)
        signer_name = certificates[0].subject
        chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(hours=10))
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
        .sign(signer, hashes.SHA256())
    )
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + chain
    )
    return pem


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS context of a server, and one of a client that trusts it."""
    pem = certificate(folder / "cert.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)
