"""The tokens of JSON: what stands at a given byte, and where it ends.

The functions return None where no such token stands; `jsonerrors` then says what is wrong.
Source: RFC 8259, and the comments that Elasticsearch's Jackson allows.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

# Possessive quantifiers (`++`) keep the time linear whatever the body. They stand inside groups
# only: early releases of Python 3.11 match possessive groups wrongly. Groups are repeated at most
# 1000 times, because `re` keeps some memory for each; longer runs take several matches.
_BLANKS: Final = re.compile(rb"(?:[ \t\r\n]++|//[^\n]*+|/\*.*?\*/){0,1000}", re.DOTALL)
_PLAIN_STRING: Final = re.compile(rb'"[^"\\\x00-\x1f]*"')
_STRING_CONTENT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+){0,1000}', re.DOTALL)
_NUMBER: Final = re.compile(
    rb"-?(?:0(?![0-9])|[1-9][0-9]*+)(?:(\.[0-9]++)|(?!\.))(?:([eE][+-]?[0-9]++)|(?![eE]))"
)
# A literal must not be followed by what could go on a Java identifier, bytes read as Latin-1.
_LITERAL: Final = re.compile(
    rb"(?:true|false|null)(?![0-9A-Za-z_\x7f\xa2-\xa5\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\xff])"
)
_LITERALS: Final[dict[bytes, tuple[str, Any]]] = {
    b"true": ("VALUE_BOOLEAN", True),
    b"false": ("VALUE_BOOLEAN", False),
    b"null": ("VALUE_NULL", None),
}

# First bytes of what is no token: blanks, comments and control characters.
NO_TOKEN: Final = frozenset(bytes([byte]) for byte in (*range(0x21), ord("/")))
NUMBER_STARTS: Final = frozenset(b"%d" % digit for digit in range(10)) | {b"-"}


def skip_blanks(data: bytes, at: int) -> int:
    """The offset behind white space and comments at `at`; more may follow a thousand of them."""
    return end_of(_BLANKS, data, at)


def scan_number(data: bytes, at: int) -> tuple[bytes, bool] | None:
    """The text of the number at `at`, and whether it has a fraction or an exponent."""
    match = _NUMBER.match(data, at)
    return (match[0], match.lastindex is not None) if match else None


def scan_literal(data: bytes, at: int) -> tuple[str, Any, int] | None:
    """Kind, value and end offset of the `true`, `false` or `null` at `at`."""
    match = _LITERAL.match(data, at)
    return (*_LITERALS[match.group()], match.end()) if match else None


def scan_string(
    data: bytes, view: memoryview, at: int, *, lone_surrogates: bool = False
) -> tuple[str, int] | None:
    """Value and end offset of the string whose opening quote is at `at`.

    `view` is a memoryview of `data`: one string may be most of a large body, and is not copied
    before it is decoded. Escapes of half a surrogate pair are read only with `lone_surrogates`.
    """
    try:
        if match := _PLAIN_STRING.match(data, at):
            end = match.end()
            return str(view[at + 1 : end - 1], "utf-8"), end
        end = _end_of_string_content(data, at + 1) + 1
        return _unescaped(view[at:end], lone_surrogates), end
    except ValueError:  # no quote at the end, a bad escape, a control character, not Unicode
        return None


def _unescaped(quoted: memoryview, lone_surrogates: bool) -> str:
    """The value of a string with escapes. Raises: ValueError."""
    try:
        return str(orjson.loads(quoted))
    except ValueError:
        if not lone_surrogates:
            raise
        return str(json.loads(str(quoted, "utf-8")))


def _end_of_string_content(data: bytes, at: int) -> int:
    while (end := end_of(_STRING_CONTENT, data, at)) > at:
        at = end
    return at


def end_of(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """The end of what matches at `at`, which may be nothing."""
    match = pattern.match(data, at)
    return match.end() if match else at
