"""Takes an endpoint's token out of what its provider says, in case the provider repeats it.

Every text of a provider goes through here before a caller sees it.
"""

from __future__ import annotations

from typing import Final, TypeVar

from proxy.errors import Cause, ProxyError
from proxy.huggingface.spellings import hide_secret
from proxy.inference.endpoints import InferenceEndpoint

E = TypeVar("E", ProxyError, Cause, ProxyError | Cause)
_MAX_QUOTED: Final = 2000  # characters of a provider's error text that callers see
_MAX_REASON: Final = 2 * _MAX_QUOTED  # characters of an error that may quote such a text
_MAX_EXPANSION: Final = 20  # how many times longer than a token its encoded form may be


def hide_token(error: E, endpoint: InferenceEndpoint) -> E:
    """The error with the token hidden in its text and in those of its causes; long ones are cut.

    A copy, or `error` itself if there is nothing to change.
    """
    return error.reworded(lambda text: _hidden(text, endpoint, _MAX_REASON))


def shown_text(text: str, endpoint: InferenceEndpoint) -> str:
    """A provider's own text as callers see it: without the token, and cut if it is long."""
    return _hidden(text, endpoint, _MAX_QUOTED)


def _hidden(text: str, endpoint: InferenceEndpoint, limit: int) -> str:
    """The first `limit` characters of the text, without the token.

    Somewhat more is searched, so that no token that begins before the limit is shown in part.
    """
    token = endpoint.secret_settings.api_key
    text = hide_secret(token, text[: limit + _MAX_EXPANSION * len(token)])
    return text if len(text) <= limit else text[:limit] + "…"
