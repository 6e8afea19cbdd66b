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
_BLANKS: Final = re.compile(
    rb"(?:[ \t\r\n]{1,1000}|//[^\n]{0,1000}(?=\n)|/\*.{0,1000}?\*/){0,1000}", re.DOTALL
)
_PLAIN_STRING: Final = re.compile(rb'"([^"\\\x00-\x1f]{0,65536})"')
# A part of a string, of 1 MB at most. An escaped surrogate pair is not torn apart.
_PIECE: Final = re.compile(
    rb'[^"\\]{0,65536}+'
    rb'(?:\\(?:[^u]|u[dD][89abAB][^"\\]{2}\\u[^"\\]{4}|u[^"\\]{4})[^"\\]{0,1024}+){0,1000}',
    re.DOTALL,
)
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
    end = end_of(_BLANKS, data, at)
    return end if end > at else _end_of_long_comment(data, at)


def _end_of_long_comment(data: bytes, at: int) -> int:
    """The same for one comment; `at` where none is, or one that does not end."""
    if data.startswith(b"//", at):
        end = data.find(b"\n", at)
        return end if end >= 0 else len(data)
    end = data.find(b"*/", at + 2) if data.startswith(b"/*", at) else -1
    return end + 2 if end >= 0 else at


def scan_number(data: bytes, at: int) -> tuple[bytes, bool] | None:
    """The text of the number at `at`, and whether it has a fraction or an exponent."""
    match = _NUMBER.match(data, at)
    return (match[0], match.lastindex is not None) if match else None


def scan_literal(data: bytes, at: int) -> tuple[str, Any, int] | None:
    """Kind, value and end offset of the `true`, `false` or `null` at `at`."""
    match = _LITERAL.match(data, at)
    return (*_LITERALS[match.group()], match.end()) if match else None


def scan_string(data: bytes, at: int, *, lone_surrogates: bool = False) -> tuple[str, int] | None:
    """Value and end offset of the string whose opening quote is at `at`.

    A string may be most of a large body: it is read in pieces, as no other thread runs while a
    library reads one. Halves of surrogate pairs are read only with `lone_surrogates`.
    """
    try:
        if match := _PLAIN_STRING.match(data, at):
            return _decoded(match[1], lone_surrogates), match.end()
        end = _end_of_piece(data, at + 1)
        if data[end : end + 1] == b'"':
            return _unescaped(data[at : end + 1], lone_surrogates), end + 1
        pieces = [_unescaped(data[at:end] + b'"', lone_surrogates)]
        while data[end : end + 1] != b'"':
            at, end = end, _end_of_piece(data, end)
            pieces.append(_unescaped(b'"%b"' % data[at:end], lone_surrogates))
        return "".join(pieces), end + 1
    except ValueError:  # no quote at the end, a bad escape, a control character, not Unicode
        return None


def _end_of_piece(data: bytes, at: int) -> int:
    """The end of a piece that holds whole characters and escapes. Raises: ValueError for none."""
    end = whole_characters(data, at, end_of(_PIECE, data, at))
    if end == at:
        raise ValueError("no quote, or a bad escape")
    return end


def whole_characters(data: bytes, at: int, end: int) -> int:
    """`end`, or where the character begins that it would tear apart."""
    while at < end < len(data) and 0x80 <= data[end] < 0xC0:
        end -= 1
    return end


def _unescaped(quoted: bytes, lone_surrogates: bool) -> str:
    """The value of a string with escapes. Raises: ValueError."""
    try:
        return str(orjson.loads(quoted))
    except ValueError:
        if not lone_surrogates:
            raise
        return str(json.loads(_decoded(quoted, lone_surrogates)))


def _decoded(data: bytes, lone_surrogates: bool) -> str:
    """Raises: UnicodeDecodeError."""
    return data.decode(errors="surrogatepass" if lone_surrogates else "strict")


def end_of(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """The end of what matches at `at`, which may be nothing."""
    match = pattern.match(data, at)
    return match.end() if match else at
