"""What may be shown of a text that can hold a token, and how a known token is taken out of a text.

A configuration holds a token somewhere, and where it is malformed nobody can tell where. So errors
quote of it what cannot be one: names, short texts, the values of settings that are no secrets.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

MASK: Final = "********"

# What cannot be a token

_SHORT: Final = 7  # characters of a text
_SHORT_PIECE: Final = 4  # of what may be a piece of one
_NAME: Final = re.compile(r"[a-z]{1,13}(?:_[a-z]{1,13})*")  # of anybody's settings
_OPEN_SETTINGS: Final = {"model_id", "service", "similarity", "strategy", "task_type"}
_RANDOM: Final = re.compile(r"[A-Za-z0-9]{20}")
_WORDS: Final = {
    *("true", "false", "null", "service", "service_settings", "task_settings", "task_type", "url"),
    *("chunking_settings", "rate_limit", "requests_per_minute", "api_key", *_OPEN_SETTINGS),
    *("hugging_face", "text_embedding", "sparse_embedding", "rerank", "completion"),
    "chat_completion",
}
_WORD: Final = re.compile(rb"[^\s{}\[\]:,\"']+")
_CONFIGURES: Final = re.compile(rb"api.?key|service|hf_", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the setting of that name is the token, spelt one way or another."""
    return re.sub("[^a-z]", "", name.lower()) == "apikey"


def shown_name(name: str) -> str:
    """The name of a setting, as errors quote it."""
    return name if len(name) <= _SHORT or _NAME.fullmatch(name) else MASK


def shown_value(text: str, name: str) -> str:
    """The text of a scalar, the value of the setting `name`, as errors quote it."""
    short = len(text.strip()) <= _SHORT and not is_secret(name)
    return text if short or _is_open(text, name) else MASK


def _is_open(text: str, name: str) -> bool:
    """Whether a text of any length is what it should be by its name, and so no secret."""
    if name == "url":
        return "://" in text and "@" not in text and "?" not in text
    return name in _OPEN_SETTINGS and not _RANDOM.search(text)


def shown_word(word: str) -> str:
    """A word that stands in a body without quotes: it may be a piece of something longer."""
    return word if len(word) <= _SHORT_PIECE or word in _WORDS else MASK


def is_harmless(source: bytes) -> bool:
    """Whether a body consists of words of the API alone."""
    return all(
        len(word) == 1 or word.decode(errors="replace") in _WORDS for word in _WORD.findall(source)
    )


def is_configuration(source: bytes) -> bool:
    """Whether a body may be one, whatever it was sent as."""
    return _CONFIGURES.search(source) is not None


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
