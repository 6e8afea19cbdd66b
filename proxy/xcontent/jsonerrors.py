"""Syntax errors of JSON, in Jackson's words and at Jackson's positions.

Jackson names the place that its parser has read to, which need not be the first bad byte.
Source: UTF8StreamJsonParser, ParserMinimalBase.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from proxy.ground.errors import Cause, ProxyError, XContentEnd, XContentParseFailed
from proxy.xcontent.document import Document
from proxy.xcontent.jsonscanner import end_of, whole_characters

_LONGEST_WORD: Final = 256  # bytes of an unknown word that are looked at
_VALUES: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_NON_STANDARD: Final = (b"NaN", b"Infinity")

_STRING_CONTENT: Final = re.compile(
    rb'(?:[^"\\\x00-\x1f]{1,1024}|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4}){0,1000}'
)
_HEX_DIGITS: Final = re.compile(rb"[0-9A-Fa-f]{0,4}")
_DIGITS: Final = re.compile(rb"[0-9]*+")
# What Java allows in identifiers, where Jackson takes each byte for a character of Latin-1.
_IDENTIFIER_START: Final = re.compile(
    rb"[A-Za-z_$\xa2-\xa5\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\xff]"
)
_IDENTIFIER_PARTS: Final = re.compile(rb"[A-Za-z0-9_$\x00-\x08\x0e-\x1b\x7f]{0,256}")


class JsonErrors:
    """Finds the words and the place of an error; the methods take the offset of the bad token.

    `in_object` tells whether the innermost open container is an object.
    """

    def __init__(self, document: Document, data: bytes, *, in_object: bool) -> None:
        self._document = document
        self._data = data
        self._container = "Object" if in_object else "Array"

    # Between values

    def no_token(self, at: int) -> ProxyError:
        """A control character, or a slash that begins no complete comment."""
        char = self._data[at : at + 1]
        if char != b"/":
            return self._failed(
                at + 1,
                f"Illegal character ((CTRL-CHAR, code {char[0]})): only regular white space "
                "(\\r, \\n, \\t) is allowed between tokens",
            )
        if self._data[at + 1 : at + 2] in (b"*", b""):
            return self._ended(len(self._data), "Unexpected end-of-input in a comment")
        return self.unexpected(at + 1, "was expecting either '*' or '/' for a comment")

    def no_colon(self, at: int) -> ProxyError:
        return self.unexpected(at, "was expecting a colon to separate field name and value")

    def no_comma(self, at: int) -> ProxyError:
        return self.unexpected(at, f"was expecting comma to separate {self._container} entries")

    def nothing_after_comma(self, at: int) -> ProxyError:
        """The end of the text, which Jackson reports as an ordinary error in this place."""
        return self._failed(at, f"Unexpected end-of-input within/between {self._container} entries")

    def no_key(self, at: int) -> ProxyError:
        return self._unexpected_character(at, "was expecting double-quote to start field name")

    def duplicate_key(self, at: int, key: str) -> ProxyError:
        return self._failed(at, f"Duplicate field '{self._document.quoted_key(key)}'")

    def no_space_after_root(self, at: int) -> ProxyError:
        return self.unexpected(at, "Expected space separating root-level values")

    def unexpected(self, at: int, rule: str) -> ProxyError:
        """A byte that breaks a rule, or the end of the text."""
        char = self._data[at : at + 1]
        return self._failed(at, _unexpected(char, rule)) if char else self._ended(at)

    # Bounds

    def too_many_values(self, at: int, count: int, most: int) -> ProxyError:
        return self._failed(
            at,
            f"Token count ({count}) exceeds the maximum allowed ({most}, from "
            "`StreamReadConstraints.getMaxTokenCount()`)",
        ).of_limit("values")

    def too_deep(self, at: int, depth: int, most: int) -> ProxyError:
        return self._failed(
            at,
            f"Document nesting depth ({depth}) exceeds the maximum allowed ({most}, from "
            "`StreamReadConstraints.getMaxNestingDepth()`)",
        ).of_limit("nesting")

    def number_too_long(self, at: int, length: int) -> ProxyError:
        return self._failed(at, f"Number value length ({length}) exceeds the maximum allowed")

    # Scalars

    def no_value(self, at: int) -> ProxyError:
        """No container, string or number begins here, and it is no literal either."""
        char = self._data[at : at + 1]
        if char == b"+":
            return self._bad_digit(at + 1, "JSON spec does not allow a plus sign")
        if _IDENTIFIER_START.match(char):
            return self._unknown_word(at)
        return self.unexpected(at, f"expected a valid value {_VALUES}")

    def _unknown_word(self, start: int) -> ProxyError:
        """Jackson reads on to the end of the identifier, and the byte behind it.

        Of a very long one it reads only a beginning, too.
        """
        data = self._data
        end = end_of(_IDENTIFIER_PARTS, data, start + 1)
        while end - start < _LONGEST_WORD and data[end : end + 1] > b"\x7f":
            try:
                end = end_of(_IDENTIFIER_PARTS, data, _end_of_character(data, end))
            except UnicodeDecodeError as error:
                return self._undecodable(end, error)
        word = data[start:end]
        if word in _NON_STANDARD:
            return self._failed(end, f"Non-standard token '{word.decode()}'")
        shown = self._document.quoted_word(word[:_LONGEST_WORD].decode(errors="replace"))
        problem = f"Unrecognized token '{shown}': was expecting {_VALUES}"
        if end == len(data):
            return self._failed(end, problem)
        return self._failed(end + 1, problem, line_of=end)

    def bad_number(self, at: int) -> ProxyError:
        """A digit or minus sign that begins no number."""
        data = self._data
        at += data[at : at + 1] == b"-"
        if not data[at : at + 1].isdigit():
            return self._bad_digit(at, "expected digit (0-9) to follow minus sign")
        if data[at : at + 1] == b"0" and data[at + 1 : at + 2].isdigit():
            return self._bad_digit(at + 1, "Leading zeroes not allowed")
        at = end_of(_DIGITS, data, at)
        if data[at : at + 1] == b".":
            if not data[at + 1 : at + 2].isdigit():
                last = len(data) - 1
                return self._bad_digit(min(at + 1, last), "Decimal point not followed by a digit")
            at = end_of(_DIGITS, data, at + 1)
        at += data[at : at + 1] in (b"e", b"E")
        at += data[at : at + 1] in (b"+", b"-")
        return self._bad_digit(at, "Exponent indicator not followed by a digit")

    def _bad_digit(self, at: int, problem: str) -> ProxyError:
        if at >= len(self._data):
            return self._ended(at, "Unexpected end-of-input in a number")
        return self.unexpected(at, f"in numeric value: {problem}")

    def bad_string(self, start: int) -> ProxyError:
        """A quote that begins no string."""
        data, start = self._data, start + 1
        at = start
        while (end := end_of(_STRING_CONTENT, data, at)) > at:
            end = max(whole_characters(data, at, end), at + 1)
            try:
                data[at : end + (data[end : end + 1] < b"\x80")].decode()
            except UnicodeDecodeError as error:
                return self._undecodable(at, error)
            at = end
        char = data[at : at + 1]
        if char == b'"':  # the syntax is right, so it is what the escapes say
            return self._failed(start, "Invalid surrogate pair in a string")
        if b"" < char < b" ":
            return self._failed(
                at,
                f"Illegal unquoted character ((CTRL-CHAR, code {char[0]})): has to be escaped "
                "using backslash to be included in string value",
            )
        return self._bad_escape(at + 1)

    def _bad_escape(self, at: int) -> ProxyError:
        """A backslash that begins no escape, or the end of the text inside a string."""
        if self._data[at : at + 1] == b"u":
            at = end_of(_HEX_DIGITS, self._data, at + 1)
        if at >= len(self._data):
            rule = "Unexpected end-of-input: was expecting closing quote for a string"
            return self._ended(len(self._data), rule)
        return self._unexpected_character(at, "in a character escape sequence")

    # Characters

    def _unexpected_character(self, at: int, rule: str) -> ProxyError:
        """As `unexpected`, but Jackson has read the whole character; it names the first byte."""
        char = self._data[at : at + 1]
        if char <= b"\x7f":
            return self.unexpected(at, rule)
        try:
            return self._failed(_end_of_character(self._data, at) - 1, _unexpected(char, rule))
        except UnicodeDecodeError as error:
            return self._undecodable(at, error)

    def _undecodable(self, start: int, error: UnicodeDecodeError) -> ProxyError:
        """Bytes from `start` that are not UTF-8; Jackson has read the first bad one."""
        bad = start + error.end - (error.reason == "invalid start byte")
        if bad >= len(self._data):
            return self._ended(len(self._data))
        return self._failed(bad + 1, f"Invalid UTF-8 byte 0x{self._data[bad]:x}")

    # Jackson's two classes

    def _failed(self, at: int, problem: str, *, line_of: int | None = None) -> XContentParseFailed:
        """The error at `at`, its line and column counted from the line of `line_of`."""
        line_of = at if line_of is None else line_of
        line, column = self._document.position(line_of)
        column += at - line_of
        text = f"{problem}{self._document.quoted(line, column)}"
        cause = Cause("json_parse_exception", text)
        return XContentParseFailed(f"[{line}:{column}] {text}", cause=cause)

    def _ended(self, at: int, problem: str | None = None) -> XContentEnd:
        text = problem or f"Unexpected end-of-input within/between {self._container} entries"
        text += self._document.quoted(*self._document.position(at))
        cause = Cause("json_e_o_f_exception", text)
        return XContentEnd(f"{self._document.at(at)} Unexpected end of file", cause=cause)


def _end_of_character(data: bytes, at: int) -> int:
    """The end of a character beyond ASCII. Raises: UnicodeDecodeError."""
    for end in range(at + 2, at + 4):
        with suppress(UnicodeDecodeError):
            data[at:end].decode()
            return end
    data[at : at + 4].decode()
    return at + 4


def _unexpected(char: bytes, rule: str) -> str:
    return f"Unexpected character ('{char.decode('latin-1')}' (code {char[0]})): {rule}"
