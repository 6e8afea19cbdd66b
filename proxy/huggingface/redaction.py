"""Providers' texts without the endpoint's token, should they repeat it."""

from __future__ import annotations

from typing import Final

from proxy.errors import ProxyError
from proxy.huggingface.spellings import hide_secret
from proxy.inference.endpoints import InferenceEndpoint

_QUOTED_TEXT: Final = 2000  # characters of a provider's error text that callers see
_ENCODED: Final = 20  # times as long as a token may be what encodes it


def hide_token(error: ProxyError, endpoint: InferenceEndpoint) -> ProxyError:
    """The error, its texts without the endpoint's token, should the provider have repeated it."""
    part: ProxyError | None = error
    while part is not None:
        part.reason = _hidden(part.reason, endpoint, 2 * _QUOTED_TEXT)
        part = part.cause
    return error


def shown_text(text: str, endpoint: InferenceEndpoint) -> str:
    """A provider's own text as callers see it."""
    return _hidden(text, endpoint, _QUOTED_TEXT)


def _hidden(text: str, endpoint: InferenceEndpoint, most: int) -> str:
    """The text without the token, cut to a number of characters.

    A bit more of it is looked through: what ends there must not be a part of the token.
    """
    token = endpoint.secret_settings.api_key
    text = hide_secret(token, text[: most + _ENCODED * len(token)])
    return text if len(text) <= most else text[:most] + "…"
