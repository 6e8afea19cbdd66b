"""Takes an endpoint's token out of what its provider says, in case the provider repeats it.

Every text of a provider goes through `shown_text` before it becomes part of one of our sentences,
so that a token which is an ordinary word changes none of ours; errors about replies that cannot be
read quote nothing of them. `hide_token` is a second net, for whole errors.
"""

from __future__ import annotations

from typing import Final, TypeVar

from proxy.ground.errors import Cause, ProxyError
from proxy.ground.masking import looks_like_token
from proxy.huggingface.spellings import LONGEST, hide_secret
from proxy.inference.endpoints import InferenceEndpoint

E = TypeVar("E", ProxyError, Cause, ProxyError | Cause)
_MAX_QUOTED: Final = 2000  # characters of a provider's error text that callers see
_MAX_REASON: Final = 2 * _MAX_QUOTED  # characters of an error that may quote such a text
_MAX_EXPANSION: Final = 20  # how many times longer than a token its encoded form may be


def hide_token(error: E, endpoint: InferenceEndpoint) -> E:
    """The error with the token hidden in its text and in those of its causes; long ones are cut.

    A token that could be a word of our own texts is not looked for.
    A copy, or `error` itself if there is nothing to change.
    """
    token = endpoint.secret_settings.api_key
    if not looks_like_token(token):
        return error.reworded(lambda text: _cut(text, _MAX_REASON))
    return error.reworded(lambda text: _hidden(text, token, _MAX_REASON))


def shown_text(text: str, endpoint: InferenceEndpoint, limit: int = _MAX_QUOTED) -> str:
    """A provider's own text as callers see it: without the token, and cut if it is long."""
    return _hidden(text, endpoint.secret_settings.api_key, limit)


def _hidden(text: str, token: str, limit: int) -> str:
    """The first `limit` characters of the text, without the token.

    Somewhat more is searched, so that no token that begins before the limit is shown in part.
    """
    searched = limit + _MAX_EXPANSION * min(len(token), LONGEST)
    return _cut(hide_secret(token, text[:searched]), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
