"""What an error may quote of a text that can contain somebody's token.

Errors quote what callers sent, as Elasticsearch's do, except for tokens and what looks like one. Of
a malformed body that seems to contain a token they quote only words that the API defines: there is
no telling where the token is.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.ground.quoting import quoted_part

MASK: Final = "********"

_NAMES_SECRET: Final = re.compile(
    r"(^key|(api|access|secret|private)key|token|secret|password|credentials|authorization)$"
)
_PREFIX: Final = "hf_"  # of Hugging Face's tokens
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
_LONG_RUN: Final = 12  # characters
_JUDGED: Final = 1000  # characters of a text: all that is quoted of it, and how that goes on
_SHORT_WORD: Final = 4  # characters; too few to give a token away
_API_WORDS: Final = {
    *("true", "false", "null", "service", "service_settings", "task_settings", "task_type", "url"),
    *("chunking_settings", "rate_limit", "requests_per_minute", "api_key", "model_id"),
    *("hugging_face", "text_embedding", "sparse_embedding", "rerank", "completion"),
    *("chat_completion", "similarity", "strategy"),
}
_WORD: Final = re.compile(rb"[^\s{}\[\]:,\"']+")
_CONFIGURES: Final = re.compile(rb"api.?key|service", re.IGNORECASE)
_SPEAKS_OF_TOKENS: Final = re.compile(rb"key|token|secret|passw|cred|auth|\\u", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the setting of that name is a secret, such as `api_key` or `Api-Key`."""
    return _NAMES_SECRET.search(re.sub("[^a-z]", "", name[-_JUDGED:].lower())) is not None


def looks_like_token(text: str) -> bool:
    """Whether a text may contain a token: Hugging Face's, or letters and digits mixed."""
    return _PREFIX in text or any(map(_is_mixed, _RUN.findall(text)))


def _is_mixed(run: str) -> bool:
    """Whether a run mixes letters and digits, or, if it is long, small and capital letters."""
    if not run.isalpha():
        return not run.isdigit()
    return len(run) >= _LONG_RUN and run[1:] != run[1:].lower() and run != run.upper()


def shown_name(name: str) -> str:
    """The name of a setting, as errors quote it."""
    return MASK if looks_like_token(name[:_JUDGED]) else quoted_part(name)


def shown_value(text: str, name: str) -> str:
    """The value of the setting `name`, as errors quote it."""
    in_url = name == "url" and ("@" in text or "?" in text)
    masked = in_url or is_secret(name) or looks_like_token(text[:_JUDGED])
    return MASK if masked else quoted_part(text)


def bare_url(url: str) -> str:
    """A URL as logs show it: without user info, query and fragment, where secrets can be."""
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme, rest = "", url
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"


def shown_word(word: str) -> str:
    """An unquoted word of a malformed body, as errors quote it: it may be part of a token."""
    return word if len(word) <= _SHORT_WORD or word in _API_WORDS else MASK


def is_harmless(source: bytes) -> bool:
    """Whether a body consists only of words that the API defines."""
    return all(
        len(word) == 1 or word.decode(errors="replace") in _API_WORDS
        for word in _WORD.findall(source)
    )


def may_hold_token(source: bytes) -> bool:
    """Whether a body looks like a configuration with a token, or contains what looks like one."""
    speaks = _CONFIGURES.search(source) and _SPEAKS_OF_TOKENS.search(source)
    return speaks is not None or looks_like_token(source.decode(errors="replace"))
