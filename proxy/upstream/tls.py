"""TLS towards the upstream, and the proxy's own certificates, whoever they are shown to."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from proxy.config import (
    ConfigError,
    TlsConfig,
    UpstreamConfig,
    private_key_file,
    refuse_other_writers,
)
from proxy.ground.tlsfailures import SPEAKS_TLS, TLS_ALERT, TlsProbe, connect_problem


def upstream_tls(upstream: UpstreamConfig) -> ssl.SSLContext | None:
    """The context for connections to an https upstream; None for http.

    Raises: ConfigError for a file that cannot be used.
    """
    if not upstream.urls or URL(upstream.urls[0]).scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"[upstream.ca_file] cannot use [{upstream.ca_file}]: {error.strerror}"
        ) from None
    if not upstream.verify or upstream.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if upstream.fingerprint is not None:
        # Imported here, as reading certificates takes a library that is large.
        from proxy.upstream.pinning import pinned

        context.sslobject_class = pinned(bytes.fromhex(upstream.fingerprint.replace(":", "")))
    own = own_certificate("upstream", upstream)
    if own is not None:
        own.load_into(context)
    return context


async def connection_problem(
    node: str, probe: TlsProbe, context: ssl.SSLContext | None, timeout: float
) -> str | None:
    """Why the node at this URL cannot be used, as far as a connection tells; None if it can be.

    One that should speak plain HTTP is asked something that no Elasticsearch minds.
    """
    url = URL(node)
    is_plain = url.scheme == "http"
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                url.host, url.port, ssl=None if is_plain else context or True
            )
            if not is_plain:
                writer.transport.abort()
                return None
            try:
                writer.write(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                begun = await reader.read(len(TLS_ALERT))
            except ConnectionError:
                begun = b""
            finally:
                writer.transport.abort()
            is_http = begun not in (b"", TLS_ALERT)
            return None if is_http or not await probe.speaks_tls() else f"it {SPEAKS_TLS}"
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return connect_problem(node, error) or error.strerror or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """PEM files of a certificate with its chain, and of its key."""

    section: str  # of the configuration that names them
    certificate: Path
    key: Path | None  # None when the key is in `certificate`

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises: ConfigError for files that cannot be used."""
        try:
            for setting, path in private_key_file(self.section, self.certificate, self.key):
                refuse_other_writers(setting, path, path.stat())
            # Without a password, an encrypted key would be asked for on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except OSError as error:  # ssl.SSLError is one
            files = f"[{self.certificate}]"
            if self.key is not None:
                files += f" with [{self.key}]"
            why = error.strerror or "it is no certificate with its key"
            raise ConfigError(f"[{self.section}.certificate] cannot use {files}: {why}") from None


def own_certificate(section: str, config: TlsConfig | UpstreamConfig) -> OwnCertificate | None:
    """The files that a section of the configuration names; None if it names none.

    Raises: ConfigError for a key without a certificate.
    """
    if config.certificate is not None:
        return OwnCertificate(section=section, certificate=config.certificate, key=config.key)
    if config.key is not None:
        raise ConfigError(f"[{section}.key] needs [{section}.certificate]")
    return None
