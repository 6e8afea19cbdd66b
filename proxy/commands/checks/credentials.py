"""The proxy's own credentials, as requests carry them."""

from __future__ import annotations

import base64

from proxy.config import UpstreamConfig


def authorization(upstream: UpstreamConfig) -> str | None:
    """The value of the header; None without credentials."""
    if upstream.api_key is not None:
        return f"ApiKey {upstream.api_key}"
    if upstream.service_token is not None:
        return f"Bearer {upstream.service_token}"
    if upstream.username is not None:
        pair = f"{upstream.username}:{upstream.password or ''}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None


def settings_of(upstream: UpstreamConfig) -> str:
    """The settings that hold them."""
    if upstream.api_key is not None:
        return "[upstream.api_key]"
    if upstream.service_token is not None:
        return "[upstream.service_token]"
    return "[upstream.username] and [upstream.password]"
