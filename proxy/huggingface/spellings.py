"""Finds a known secret in a text, in whatever spelling, and hides it.

Spellings are: another letter case, UTF-16, hex, base64 of the secret or of a longer text, escapes
of URLs, JSON and HTML, and up to three of these in one another.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from proxy.masking import MASK

_SHORTEST: Final = 6  # characters of a secret that is also looked for in other spellings
_LEVELS: Final = 3  # of encodings in one another
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)
_HEX_SEPARATOR: Final = re.compile(r"\\x|0x|[\s:,-]", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def hide_secret(secret: str, text: str) -> str:
    """The text, with a mask in place of each copy of the secret and of what encodes one."""
    if not secret:
        return text
    if len(secret) < _SHORTEST:
        return text.replace(secret, MASK)
    text = re.sub(re.escape(secret), MASK, text, flags=re.IGNORECASE)
    if not _is_spelled_in(secret, text, "".join(text.split())):
        return text

    def masked(word: re.Match[str]) -> str:
        return MASK if _is_spelled_in(secret, word[0]) else word[0]

    text = re.sub(rf"\S{{{len(secret)},}}", masked, text)
    # What is left is spread over several words, with no telling where it ends: hide everything.
    return MASK if _is_spelled_in(secret, text, "".join(text.split())) else text


def _is_spelled_in(secret: str, *texts: str) -> bool:
    """Whether one of the texts, or what it encodes, contains the secret."""
    seen, found = set(texts), set(texts)
    for _ in range(_LEVELS):
        if _is_in(secret, found):
            return True
        decoded = {decoding for text in found for decoding in _decodings(text)}
        found = {text for text in decoded if len(text) >= len(secret)} - seen
        seen |= found
    return _is_in(secret, found)


def _is_in(secret: str, texts: set[str]) -> bool:
    """Whether one of the texts contains the secret, in any letter case, or in UTF-16."""
    return any(secret.casefold() in text.replace("\0", "").casefold() for text in texts)


def _decodings(text: str) -> Iterator[str]:
    yield unquote(text, "latin-1")
    yield unquote(text.replace("+", " "), "latin-1")
    yield _ESCAPE.sub(_unescaped, text)
    yield html.unescape(text)
    for digits in (text, _HEX_SEPARATOR.sub("", text)):
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
