"""TLS towards callers."""

from __future__ import annotations

import ssl

from proxy.config import TlsConfig
from proxy.upstream.tls import OwnCertificate, own_certificate


class CallerTls:
    """The certificate that callers see. After `reload`, new connections get the new one."""

    def __init__(self, own: OwnCertificate) -> None:
        """Raises: ConfigError for files that cannot be used."""
        self._own = own
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.reload()

    @classmethod
    def of(cls, tls: TlsConfig) -> CallerTls | None:
        """None where callers speak plain HTTP. Raises: ConfigError, as the constructor."""
        own = own_certificate("tls", tls)
        return None if own is None else cls(own)

    def reload(self) -> None:
        """Read the files again.

        Raises: ConfigError for files that cannot be used; the old certificate stays in use then.
        """
        # A key that does not match would break a context, so the files are tried on another first.
        self._own.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._own.load_into(self.context)
