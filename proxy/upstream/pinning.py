"""Trust in one certificate, known by its fingerprint, and in the certificates it has issued.

Elasticsearch prints the fingerprint of the certificate authority that it makes for itself. With a
fingerprint, host names and dates are not checked, as in Elasticsearch's own clients.
"""

from __future__ import annotations

import _ssl
import hmac
import ssl
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes


def pinned(digest: bytes) -> type[ssl.SSLObject]:
    """An `sslobject_class` that trusts only chains which lead to one certificate.

    digest: the certificate's SHA-256. Other handshakes raise ssl.SSLCertVerificationError.
    """

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            # Python has a public method for it from 3.13 on, of another form.
            sent = self._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]
            if not is_vouched_for([_read(certificate) for certificate in sent], digest):
                raise ssl.SSLCertVerificationError("the certificate has another fingerprint")

    return Pinned


def is_vouched_for(chain: Sequence[x509.Certificate], digest: bytes) -> bool:
    """Whether the chain leads to the certificate with this digest, each signed by the next.

    It begins with the server's own certificate, whose key the server has proved to hold.
    """
    for place, certificate in enumerate(chain):
        if place and not _has_issued(certificate, chain[place - 1]):
            return False
        if hmac.compare_digest(certificate.fingerprint(hashes.SHA256()), digest):
            return True
    return False


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        may = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, TypeError, ValueError):
        return False
    return may


def _read(certificate: Any) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate.public_bytes(_ssl.ENCODING_DER))
