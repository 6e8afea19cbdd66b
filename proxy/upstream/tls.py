"""TLS towards the upstream."""

from __future__ import annotations

import ssl

from yarl import URL

from proxy.config import ConfigError, TlsConfig, UpstreamConfig


def upstream_tls(upstream: UpstreamConfig) -> ssl.SSLContext | None:
    """What an https upstream is spoken to with; None for http.

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
        from proxy.upstream.pinning import (
            pinned,  # what it takes to read certificates, if it is needed
        )

        context.sslobject_class = pinned(bytes.fromhex(upstream.fingerprint.replace(":", "")))
    if has_certificate("upstream", upstream):
        load_pair(context, "upstream", upstream)
    return context


def has_certificate(section: str, config: TlsConfig | UpstreamConfig) -> bool:
    if config.certificate is None and config.key is not None:
        raise ConfigError(f"[{section}.key] needs [{section}.certificate]")
    return config.certificate is not None


def load_pair(context: ssl.SSLContext, section: str, config: TlsConfig | UpstreamConfig) -> None:
    certificate, key = config.certificate, config.key
    assert certificate is not None
    try:
        # An encrypted key would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:  # ssl.SSLError is one
        files = f"[{certificate}]" if key is None else f"[{certificate}] with [{key}]"
        why = error.strerror or "it is no certificate with its key"
        raise ConfigError(f"[{section}.certificate] cannot use {files}: {why}") from None
