"""TLS towards the upstream."""

from __future__ import annotations

import ssl

from yarl import URL

from proxy.config import ConfigError, UpstreamConfig


def upstream_tls(upstream: UpstreamConfig) -> ssl.SSLContext | None:
    """What an https upstream is spoken to with; None for http.

    Raises: ConfigError for a CA file that cannot be used.
    """
    if upstream.url is None or URL(upstream.url).scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"[upstream.ca_file] cannot use [{upstream.ca_file}]: {error.strerror}"
        ) from None
    if not upstream.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
