"""JSON, read as strictly and as leniently as by Elasticsearch's Jackson.

Duplicate keys, NaN and unquoted names are refused; comments and anything after the first value are
not. Errors stand where Jackson's do, and have the types of its exceptions.
Source: JsonXContentImpl, UTF8StreamJsonParser; compared with 9.2.4, see tests/unit/test_parsers.py.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.errors import Cause, ProxyError, XContentEnd, XContentParseFailed
from proxy.masking import shown_name
from proxy.xcontent.document import DEFAULT_BOUNDS, Bounds, Document, Node

MAX_DIGITS: Final = 1000  # of one number
_QUOTED_TOKEN: Final = 256

# Possessive (`++`) inside, so that no body makes them try again what they have tried; not the
# groups themselves, which early releases of Python 3.11 get wrong.
_SKIP = re.compile(rb"(?:[ \t\r\n]++|//[^\n]*+|/\*.*?\*/)*", re.DOTALL)
_PLAIN_STRING = re.compile(rb'"[^"\\\x00-\x1f]*"')
_STRING_CONTENT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*')
_HEX_DIGITS = re.compile(rb"[0-9A-Fa-f]{0,4}")
_NUMBER = re.compile(
    rb"-?(?:0(?![0-9])|[1-9][0-9]*+)(?:\.[0-9]++|(?!\.))(?:[eE][+-]?[0-9]++|(?![eE]))"
)
_DIGITS = re.compile(rb"[0-9]*+")
_LETTERS = re.compile(rb"[A-Za-z0-9_$]*+")
_LITERALS: Final[dict[bytes, tuple[str, Any]]] = {
    b"true": ("VALUE_BOOLEAN", True),
    b"false": ("VALUE_BOOLEAN", False),
    b"null": ("VALUE_NULL", None),
}
_WORDS: Final = {word[:1]: word for word in _LITERALS}
_NO_NUMBERS: Final = (b"NaN", b"Infinity")
_VALUES: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


def parse_json(
    data: bytes, bounds: Bounds = DEFAULT_BOUNDS, *, is_private: bool = False
) -> Document:
    """Read the first JSON value of `data`; blank data has no root.

    Syntax errors quote the data to whoever sent it, unless it `is_private`.
    """
    return _JsonReader(_as_utf8(data), bounds, is_private).read()


def _as_utf8(data: bytes) -> bytes:
    """Without a byte order mark, and out of UTF-16 or UTF-32, which JSON bodies may come in."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:]
    if b"\x00" in data[:4]:
        for codec in ("utf-32", "utf-16"):
            try:
                text = data.decode(codec if data[0] in (0xFE, 0xFF) else _endian(codec, data))
            except UnicodeDecodeError:
                continue
            return text.encode()
    return data


def _endian(codec: str, data: bytes) -> str:
    return f"{codec}-{'be' if data[0] == 0 else 'le'}"


def _is_identifier_start(byte: bytes) -> bool:
    """Whether Java would let a name begin with this byte, taken for a character of Latin-1."""
    char = byte.decode("latin-1")
    return char.isidentifier() or char in "$¢£¤¥"


def _is_identifier_part(byte: bytes) -> bool:
    return byte != b"" and (
        _is_identifier_start(byte)
        or byte.isdigit()
        or b"" < byte < b"\x09"
        or b"\x0e" <= byte < b"\x1c"
        or byte == b"\x7f"
    )


class _JsonReader:
    """Reads one value with an explicit stack, so that nesting costs no recursion."""

    def __init__(self, data: bytes, bounds: Bounds, is_private: bool) -> None:
        self._data = data
        self._view = memoryview(data)
        self._bounds = bounds
        self._count = 0  # of values
        self._at = 0
        self._open: list[Node] = []
        self._key = ""  # of the value that comes next in an object
        self._token = 0  # where the last one began
        self._document = Document(data, None, is_private=is_private)

    def read(self) -> Document:
        try:
            self._read()
        except ProxyError as error:
            self._document.error, self._document.error_at = error, self._token
        self._document.values = self._count
        return self._document

    def _read(self) -> None:
        if not self._skip():
            return  # blanks only: no root
        self._value()
        while self._open:
            container = self._open[-1]
            if container.kind == "START_OBJECT":
                self._next_in_object(container)
            else:
                self._next_in_array(container)

    def _skip(self) -> bytes:
        """Move to the next meaningful byte and return it, or nothing at the end."""
        match = _SKIP.match(self._data, self._at)
        self._at = match.end() if match else self._at
        char = self._data[self._at : self._at + 1]
        if char == b"/":
            raise self._bad_comment()
        if b"" < char < b" ":
            self._at += 1
            raise self._wrong(
                f"Illegal character ((CTRL-CHAR, code {char[0]})): only regular white space "
                "(\\r, \\n, \\t) is allowed between tokens"
            )
        return char

    def _bad_comment(self) -> ProxyError:
        follows = self._data[self._at + 1 : self._at + 2]
        if follows in (b"*", b""):
            self._at = len(self._data)
            return self._ended("Unexpected end-of-input in a comment")
        self._at += 1
        return self._unexpected(follows, "was expecting either '*' or '/' for a comment")

    def _next_in_object(self, node: Node) -> None:
        char = self._skip()
        if char == b"}":
            return self._close(node)
        if char == b"]":
            self._token = self._at
        if node.value:
            self._expect(char, b",", "was expecting comma to separate Object entries")
            char = self._after_comma("Object")
        if char > b"\x7f":
            self._at = self._at_end_of_char(self._at) - 1
        self._expect(char, b'"', "was expecting double-quote to start field name", step=0)
        start = self._at
        key = self._string()
        if key in node.value:
            raise self._wrong(f"Duplicate field '{shown_name(key)}'")
        self._key, self._token = key, start
        self._expect(self._skip(), b":", "was expecting a colon to separate field name and value")
        self._skip()
        node.keys[key] = start
        node.value[key] = self._value()
        return None

    def _next_in_array(self, node: Node) -> None:
        char = self._skip()
        if char == b"]":
            return self._close(node)
        if char == b"}":
            self._token = self._at
        if node.value:
            self._expect(char, b",", "was expecting comma to separate Array entries")
            self._after_comma("Array")
        node.value.append(self._value())
        return None

    def _after_comma(self, kind: str) -> bytes:
        """The next meaningful byte, where the end is an error like any other."""
        char = self._skip()
        if not char:
            raise self._wrong(f"Unexpected end-of-input within/between {kind} entries")
        return char

    def _close(self, node: Node) -> None:
        self._token = self._at
        self._at += 1
        node.end = self._at
        self._open.pop()

    def _value(self) -> Node:
        """Read a scalar, or open a container."""
        start, char = self._at, self._data[self._at : self._at + 1]
        self._count += 1
        if self._count > (most := self._bounds.values):
            raise self._wrong(
                f"Token count ({self._count}) exceeds the maximum allowed ({most}, from "
                "`StreamReadConstraints.getMaxTokenCount()`)"
            ).of_limit("values")
        if char == b'"':
            node = self._text(start)
        elif char == b"{" or char == b"[":
            node = self._container(start, char)
        elif char and not (self._open and self._open[-1].kind == "START_OBJECT"):
            self._token = start  # in an object a value that cannot be read counts as its name
            node = self._scalar(start, char)
        else:
            node = self._scalar(start, char)
        self._token = start
        if self._document.root is None:
            self._document.root = node
        return node

    def _scalar(self, start: int, char: bytes) -> Node:
        if char.isdigit() or char == b"-":
            return Node("VALUE_NUMBER", self._number(), start, self._at)
        if char in _WORDS:
            return Node(*self._literal(_WORDS[char]), start, self._at)
        raise self._no_value(char)

    def _container(self, start: int, char: bytes) -> Node:
        node = Node(*(("START_OBJECT", {}) if char == b"{" else ("START_ARRAY", [])), start, -1)
        self._open.append(node)
        self._at += 1
        if len(self._open) > (most := self._bounds.nesting):
            raise self._wrong(
                f"Document nesting depth ({len(self._open)}) exceeds the maximum allowed "
                f"({most}, from `StreamReadConstraints.getMaxNestingDepth()`)"
            ).of_limit("nesting")
        return node

    def _text(self, start: int) -> Node:
        """A text; one that cannot be read is there all the same, until somebody wants it."""
        try:
            return Node("VALUE_STRING", self._string(), start, self._at)
        except ProxyError:
            node = Node("VALUE_STRING", "", start, -1)
            self._token = start
            if not self._open:
                self._document.root = node
            elif isinstance(self._open[-1].value, dict):
                self._open[-1].value[self._key] = node
                self._open[-1].keys.setdefault(self._key, start)
            else:
                self._open[-1].value.append(node)
            raise

    # Scalars; errors stand where Jackson's parser would, which is not always the first bad byte.

    def _literal(self, word: bytes) -> tuple[str, Any]:
        start, end = self._at, self._at
        while self._data[end : end + 1] == word[end - start : end - start + 1] != b"":
            end += 1
        follows = self._data[end : end + 1]
        if end - start < len(word) or (follows >= b"0" and _is_identifier_part(follows)):
            raise self._bad_token(end)
        self._at = end
        return _LITERALS[word]

    def _bad_token(self, at: int) -> ProxyError:
        """A word that means nothing; it goes on at `at`, and the byte that ends it is read, too."""
        data = self._data
        while at < len(data):
            letters = _LETTERS.match(data, at)
            at = letters.end() if letters else at
            char = data[at : at + 1]
            if char > b"\x7f":
                at = self._at_end_of_char(at)
            elif _is_identifier_part(char):
                at += 1
            else:
                break
        token = data[self._at : at]
        if token in _NO_NUMBERS:
            self._at = at
            return self._wrong(f"Non-standard token '{token.decode()}'")
        shown = self._document.quoted_word(token[:_QUOTED_TOKEN].decode(errors="replace"))
        self._at = at + (at < len(data))
        return self._wrong(f"Unrecognized token '{shown}': was expecting {_VALUES}", past=at)

    def _at_end_of_char(self, at: int) -> int:
        """Where a character beyond ASCII ends. Raises: the error of bytes that are none."""
        for end in range(at + 1, at + 5):
            try:
                self._data[at:end].decode()
            except UnicodeDecodeError:
                continue
            return end
        raise self._undecodable(at, self._data[at : at + 4])

    def _undecodable(self, at: int, data: bytes) -> ProxyError:
        """The error of `data`, which stands at `at`: the first bad byte is read, too."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            bad = at + error.end - (error.reason == "invalid start byte")
            if bad >= len(self._data):
                self._at = len(self._data)
                return self._ended()
            self._at = bad + 1
            return self._wrong(f"Invalid UTF-8 byte 0x{self._data[bad]:x}")
        self._at = at
        return self._wrong("Invalid surrogate pair in a string")

    def _no_value(self, char: bytes) -> ProxyError:
        if not char:
            return self._ended()
        if char == b"+":
            return self._bad_number(self._at + 1, "JSON spec does not allow a plus sign")
        if _is_identifier_start(char):
            return self._bad_token(self._at + 1)
        return self._unexpected(char, f"expected a valid value {_VALUES}")

    def _number(self) -> int | float:
        start = self._at
        match = _NUMBER.match(self._data, start)
        if match is None:
            raise self._not_a_number()
        self._at, text = match.end(), match.group()
        if not self._open:
            follows = self._data[self._at : self._at + 1]
            if follows and follows not in b" \t\r\n":
                raise self._unexpected(follows, "Expected space separating root-level values")
        if len(text) > MAX_DIGITS:
            raise self._wrong(f"Number value length ({len(text)}) exceeds the maximum allowed")
        return int(text) if text.lstrip(b"-").isdigit() else float(text)

    def _not_a_number(self) -> ProxyError:
        """What is wrong with something that begins like a number."""
        data, at = self._data, self._at
        at += data[at : at + 1] == b"-"
        if not data[at : at + 1].isdigit():
            return self._bad_number(at, "expected digit (0-9) to follow minus sign")
        if data[at : at + 1] == b"0" and data[at + 1 : at + 2].isdigit():
            return self._bad_number(at + 1, "Leading zeroes not allowed")
        at = self._digits_end(at)
        if data[at : at + 1] == b".":
            if not data[at + 1 : at + 2].isdigit():
                last = len(data) - 1
                return self._bad_number(min(at + 1, last), "Decimal point not followed by a digit")
            at = self._digits_end(at + 1)
        at += data[at : at + 1] in (b"e", b"E")
        at += data[at : at + 1] in (b"+", b"-")
        return self._bad_number(at, "Exponent indicator not followed by a digit")

    def _digits_end(self, at: int) -> int:
        match = _DIGITS.match(self._data, at)
        return match.end() if match else at

    def _bad_number(self, at: int, problem: str) -> ProxyError:
        self._at = at
        char = self._data[at : at + 1]
        if not char:
            return self._ended("Unexpected end-of-input in a number")
        return self._unexpected(char, f"in numeric value: {problem}")

    def _string(self) -> str:
        start = self._at
        match = _PLAIN_STRING.match(self._data, start)
        escaped = match is None
        if match is not None:
            end = match.end()
        else:
            content = _STRING_CONTENT.match(self._data, start + 1)
            end = (content.end() if content else start + 1) + 1
            if self._data[end - 1 : end] != b'"':
                raise self._bad_string(start + 1, end - 1)
        self._at = end
        raw = self._view[start:end]  # no copy: a string may be nearly all of a large body
        try:
            return str(orjson.loads(raw)) if escaped else str(raw[1:-1], "utf-8")
        except ValueError:
            raise self._undecodable(start + 1, self._data[start + 1 : end]) from None

    def _bad_string(self, start: int, at: int) -> ProxyError:
        """What is wrong with the string from `start`, whose content is good until `at`."""
        try:
            self._data[start:at].decode()
        except UnicodeDecodeError:
            return self._undecodable(start, self._data[start : at + 1])
        char = self._data[at : at + 1]
        if b"" < char < b" ":
            self._at = at
            return self._wrong(
                f"Illegal unquoted character ((CTRL-CHAR, code {char[0]})): has to be escaped "
                "using backslash to be included in string value"
            )
        escape = self._data[at + 1 : at + 2]
        self._at = at + 1
        if escape == b"u":
            digits = _HEX_DIGITS.match(self._data, at + 2)
            self._at = digits.end() if digits else at + 2
        bad = self._data[self._at : self._at + 1]
        if not char or not bad:
            self._at = len(self._data)
            return self._ended("Unexpected end-of-input: was expecting closing quote for a string")
        if bad > b"\x7f":
            self._at = self._at_end_of_char(self._at) - 1
        return self._unexpected(bad, "in a character escape sequence")

    def _expect(self, char: bytes, wanted: bytes, rule: str, step: int = 1) -> None:
        if char != wanted:
            raise self._unexpected(char, rule) if char else self._ended()
        self._at += step

    def _unexpected(self, char: bytes, rule: str) -> ProxyError:
        shown = char.decode("latin-1")
        return self._wrong(f"Unexpected character ('{shown}' (code {char[0]})): {rule}")

    def _wrong(self, problem: str, past: int | None = None) -> ProxyError:
        """The error at the place reached; what was read `past` a place does not begin a line."""
        past = self._at if past is None else past
        line, column = self._document.position(past)
        column += self._at - past
        text = f"{problem}{self._document.quoted(line, column)}"
        cause = Cause("json_parse_exception", text)
        return XContentParseFailed(f"[{line}:{column}] {text}", cause=cause)

    def _ended(self, problem: str | None = None) -> ProxyError:
        where = "within/between Array entries"
        if self._open and self._open[-1].kind == "START_OBJECT":
            where = "within/between Object entries"
        text = problem or f"Unexpected end-of-input {where}"
        text += self._document.quoted(*self._document.position(self._at))
        cause = Cause("json_e_o_f_exception", text)
        return XContentEnd(f"{self._document.at(self._at)} Unexpected end of file", cause=cause)
