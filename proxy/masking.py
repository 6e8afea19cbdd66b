"""What may be shown of a text that can hold a token, and how a known token is taken out of a text.

Errors quote what callers sent, as Elasticsearch's do, but for a token and what looks like one. In
a malformed body that speaks of a token nobody can tell where it is: of that they quote nothing but
the words of the API.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

MASK: Final = "********"

# What may be shown

_NAMES_SECRET: Final = re.compile(
    r"(^key|(api|access|secret|private)key|token|secret|password|credentials|authorization)$"
)
_PREFIX: Final = "hf_"  # of Hugging Face's tokens
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
_LONG_RUN: Final = 12  # characters
_SHORT_PIECE: Final = 4  # characters of what may be a piece of a token
_WORDS: Final = {
    *("true", "false", "null", "service", "service_settings", "task_settings", "task_type", "url"),
    *("chunking_settings", "rate_limit", "requests_per_minute", "api_key", "model_id"),
    *("hugging_face", "text_embedding", "sparse_embedding", "rerank", "completion"),
    *("chat_completion", "similarity", "strategy"),
}
_WORD: Final = re.compile(rb"[^\s{}\[\]:,\"']+")
_CONFIGURES: Final = re.compile(rb"api.?key|service", re.IGNORECASE)
_SPEAKS_OF_TOKENS: Final = re.compile(rb"key|token|secret|passw|cred|auth|\\u", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the setting of that name is a token, spelt one way or another."""
    return _NAMES_SECRET.search(re.sub("[^a-z]", "", name.lower())) is not None


def looks_like_token(text: str) -> bool:
    """Whether somebody's token may stand in a text."""
    return _PREFIX in text or any(map(_is_mixed, _RUN.findall(text)))


def _is_mixed(run: str) -> bool:
    """Whether these are letters and digits, or at some length small and capital letters within."""
    if not run.isalpha():
        return not run.isdigit()
    return len(run) >= _LONG_RUN and run[1:] != run[1:].lower() and run != run.upper()


def shown_name(name: str) -> str:
    """The name of a setting, as errors quote it."""
    return MASK if looks_like_token(name) else name


def shown_value(text: str, name: str) -> str:
    """The text of a scalar, the value of the setting `name`, as errors quote it."""
    in_url = name == "url" and ("@" in text or "?" in text)
    return MASK if in_url or is_secret(name) or looks_like_token(text) else text


def shown_word(word: str) -> str:
    """A word that stands in a body without quotes: it may be a piece of something longer."""
    return word if len(word) <= _SHORT_PIECE or word in _WORDS else MASK


def is_harmless(source: bytes) -> bool:
    """Whether a body consists of words of the API alone."""
    return all(
        len(word) == 1 or word.decode(errors="replace") in _WORDS for word in _WORD.findall(source)
    )


def may_hold_token(source: bytes) -> bool:
    """Whether a body is a configuration that speaks of a token, or has what looks like one."""
    speaks = _CONFIGURES.search(source) and _SPEAKS_OF_TOKENS.search(source)
    return speaks is not None or looks_like_token(source.decode(errors="replace"))


# What is one

_SHORTEST: Final = 6  # characters of a token that is looked for in what is encoded, too
_DEPTH: Final = 3  # of encodings, one in another
_ESCAPED: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)
_SEPARATORS: Final = re.compile(r"\\x|0x|[\s:,-]", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def without(secret: str, text: str) -> str:
    """The text, every copy of the secret in it hidden: plain, in another letter case, or encoded.

    Encoded: hex, base64 within whatever else, URL, JSON or HTML escapes, and these in one another.
    """
    if not secret:
        return text
    if len(secret) < _SHORTEST:
        return text.replace(secret, MASK)
    text = re.sub(re.escape(secret), MASK, text, flags=re.IGNORECASE)
    if not _tell(secret, text, "".join(text.split())):
        return text

    def hidden(word: re.Match[str]) -> str:
        return MASK if _tell(secret, word[0]) else word[0]

    text = re.sub(rf"\S{{{len(secret)},}}", hidden, text)
    # A copy that is cut into lines or bytes: nobody knows where it ends.
    return MASK if _tell(secret, text, "".join(text.split())) else text


def _tell(secret: str, *texts: str) -> bool:
    """Whether the secret stands in one of the texts, or in what they encode."""
    seen, found = set(texts), set(texts)
    for _ in range(_DEPTH):
        if _holds(found, secret):
            return True
        read = {reading for text in found for reading in _readings(text)}
        found = {reading for reading in read if len(reading) >= len(secret)} - seen
        seen |= found
    return _holds(found, secret)


def _holds(texts: set[str], secret: str) -> bool:
    """Whether one of the texts holds the secret, in any letter case, or as UTF-16."""
    return any(secret.casefold() in text.replace("\0", "").casefold() for text in texts)


def _readings(text: str) -> Iterator[str]:
    yield unquote(text, "latin-1")
    yield unquote(text.replace("+", " "), "latin-1")
    yield _ESCAPED.sub(_unescaped, text)
    yield html.unescape(text)
    for digits in (text, _SEPARATORS.sub("", text)):
        for run in _HEX.findall(digits):
            for shift in range(2):
                pairs = run[shift : len(run) - (len(run) - shift) % 2]
                yield bytes.fromhex(pairs).decode("latin-1")
    for run in _BASE64.findall(text.translate(_URL_SAFE)):
        for shift in range(4):
            part = run[shift:]
            yield base64.b64decode(part + "A" * (-len(part) % 4)).decode("latin-1")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]
