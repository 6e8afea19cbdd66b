"""TLS towards callers."""

from __future__ import annotations

import ssl

from proxy.config import TlsConfig
from proxy.upstream.tls import has_certificate, load_pair


class CallerTls:
    """The certificate that callers see. It can be renewed: new connections get the new one."""

    def __init__(self, tls: TlsConfig) -> None:
        """Raises: ConfigError for files that cannot be used."""
        self._tls = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.reload()

    @classmethod
    def of(cls, tls: TlsConfig) -> CallerTls | None:
        """None where callers speak plain HTTP. Raises: ConfigError, as the constructor."""
        return cls(tls) if has_certificate("tls", tls) else None

    def reload(self) -> None:
        """Read the files again.

        Raises: ConfigError for files that cannot be used; what was in use stays so.
        """
        # Half a pair would break a context, so another one tries them first.
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "tls", self._tls)
        load_pair(self.context, "tls", self._tls)
