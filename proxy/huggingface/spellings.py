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

from proxy.ground.masking import MASK, looks_like_token

_SHORTEST: Final = 6  # characters of a secret that is also looked for in other spellings
LONGEST: Final = 256  # characters of a secret that are looked for: no other text has as many of it
_LEVELS: Final = 3  # of encodings in one another
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\(.)", re.DOTALL)
_HEX_SEPARATOR: Final = re.compile(r"\\x|0x|[\s:,-]", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8,}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def hide_secret(secret: str, text: str) -> str:
    """The text, with a mask in place of each copy of the secret and of what encodes one.

    A secret that looks like an ordinary word is hidden where it is a word of its own: `token` is
    not found in `512 tokens`. A short one is looked for in its own spelling only, and a long one by
    its beginning.
    """
    if not secret:
        return text
    copy = _copies_of(secret)
    text = copy.sub(MASK, text)
    secret = secret[:LONGEST]
    if len(secret) < _SHORTEST or not _is_spelled_in(secret, copy, text, "".join(text.split())):
        return text

    def masked(word: re.Match[str]) -> str:
        return MASK if _is_spelled_in(secret, copy, word[0]) else word[0]

    text = re.sub(rf"\S{{{len(secret)},}}", masked, text)
    # What is left is spread over several words, with no telling where it ends: hide everything.
    return MASK if _is_spelled_in(secret, copy, text, "".join(text.split())) else text


def _copies_of(secret: str) -> re.Pattern[str]:
    """Finds the secret in plain text."""
    pattern = re.escape(secret[:LONGEST])
    if (rest := len(secret) - LONGEST) > 0:
        pattern += f"(?s:.{{0,{rest}}})"  # less than all of it where the text was cut
    elif not looks_like_token(secret):
        before = r"(?<!\w)" if re.match(r"\w", secret) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", secret) else ""
        pattern = before + pattern + after
    return re.compile(pattern, re.IGNORECASE if len(secret) >= _SHORTEST else 0)


def _is_spelled_in(secret: str, copy: re.Pattern[str], *texts: str) -> bool:
    """Whether one of the texts, or what it encodes, contains the secret.

    In what was hex or base64 it may be a part of a word; nobody writes words that way.
    """
    seen = found = {(text, False) for text in texts}
    for _ in range(_LEVELS):
        if _is_in(secret, copy, found):
            return True
        decoded = {
            (decoding, was_bytes or is_bytes)
            for text, was_bytes in found
            for decoding, is_bytes in _decodings(text, len(secret))
            if len(decoding) >= len(secret)
        }
        found = decoded - seen
        seen = seen | found
    return _is_in(secret, copy, found)


def _is_in(secret: str, copy: re.Pattern[str], texts: set[tuple[str, bool]]) -> bool:
    """Whether one of the texts contains the secret, in any letter case, or in UTF-16."""
    return any(
        secret.casefold() in text.replace("\0", "").casefold()
        if was_bytes
        else copy.search(text.replace("\0", "")) is not None
        for text, was_bytes in texts
    )


def _decodings(text: str, shortest: int) -> Iterator[tuple[str, bool]]:
    """What the text may encode, and whether bytes that were written in hex or base64.

    Without all bytes that are fewer than `shortest`.
    """
    yield unquote(text, "latin-1"), False
    yield unquote(text.replace("+", " "), "latin-1"), False
    yield _ESCAPE.sub(_unescaped, text), False
    yield html.unescape(text), False
    for digits in (text, _HEX_SEPARATOR.sub("", text)):
        for run in _HEX.findall(digits):
            if len(run) < 2 * shortest:
                continue
            for shift in range(2):
                pairs = run[shift : len(run) - (len(run) - shift) % 2]
                yield bytes.fromhex(pairs).decode("latin-1"), True
    for run in _BASE64.findall(text.translate(_URL_SAFE)):
        if 3 * len(run) < 4 * shortest:
            continue
        for shift in range(4):
            part = run[shift:]
            yield base64.b64decode(part + "A" * (-len(part) % 4)).decode("latin-1"), True


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]
