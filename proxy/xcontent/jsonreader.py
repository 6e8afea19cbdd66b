"""Reads JSON as strictly, and as leniently, as Elasticsearch's Jackson does.

Duplicate keys, NaN and unquoted names are refused; comments, and anything after the first value,
are not.
Source: JsonXContentImpl, UTF8StreamJsonParser; tests/unit/xcontent/test_parsers.py compares with
Elasticsearch 9.2.4.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from contextlib import suppress
from io import BytesIO
from math import isfinite
from typing import Final

from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.xcontent.document import Bounds, Document, Node
from proxy.xcontent.jsonerrors import JsonErrors
from proxy.xcontent.jsonscanner import (
    NO_TOKEN,
    NUMBER_STARTS,
    scan_literal,
    scan_number,
    scan_string,
    skip_blanks,
)
from proxy.xcontent.numbers import WrittenNumber
from proxy.xcontent.values import MAX_DIGITS

_STEP: Final = 1024 * 1024  # bytes


def parse_json(
    data: bytes, bounds: Bounds, *, is_private: bool = False, lone_surrogates: bool = False
) -> Document:
    """Read the first JSON value of `data`; a blank body gives a document without a root.

    A syntax error is kept in the document, next to what was read before it. Its text quotes the
    beginning of `data`, unless the data `is_private`. Halves of surrogate pairs, which UTF-8
    cannot carry, are an error unless `lone_surrogates` are wanted.
    """
    data = in_utf8(data)
    # A faster parser may fill the document here, and leave what it refuses to the builder, which
    # alone knows Jackson's errors.
    document = Document(data, None, is_private=is_private)
    _TreeBuilder(document, data, bounds, lone_surrogates=lone_surrogates).build()
    return document


def in_utf8(data: bytes) -> bytes:
    """The body without its byte order mark, converted from UTF-16 or UTF-32 if it is in one."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:]
    if b"\x00" in data[:4]:
        for codec in ("utf-32", "utf-16"):
            with suppress(UnicodeError):
                return _converted(data, codec if data[0] in (0xFE, 0xFF) else _endian(codec, data))
    return data


def _endian(codec: str, data: bytes) -> str:
    return f"{codec}-{'be' if data[0] == 0 else 'le'}"


def _converted(data: bytes, codec: str) -> bytes:
    """In steps, so that other threads can run meanwhile. Raises: UnicodeError."""
    decoder, out = getincrementaldecoder(codec)(), BytesIO()
    for at in range(0, len(data), _STEP):
        out.write(decoder.decode(data[at : at + _STEP], final=at + _STEP >= len(data)).encode())
    return out.getvalue()


def _float(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else WrittenNumber(text)


class _TreeBuilder:
    """Fills a document, one key or item at a time, within bounds.

    Open objects and arrays are kept on a stack, so that deep nesting needs no recursion.
    """

    def __init__(
        self, document: Document, data: bytes, bounds: Bounds, *, lone_surrogates: bool
    ) -> None:
        self._document = document
        self._data = data
        self._bounds = bounds
        self._lone_surrogates = lone_surrogates
        self._at = 0
        self._token = 0  # where the last token began
        self._open: list[Node] = []
        self._key = ""  # of the value that comes next in an object

    def build(self) -> None:
        try:
            if self._next_token():
                self._document.root = self._value(in_object=False)
            while self._open:
                container = self._open[-1]
                if container.kind == "START_OBJECT":
                    self._read_field(container)
                else:
                    self._read_item(container)
        except ProxyError as error:
            forget_frames(error)  # they know the document, which knows the error
            self._document.error, self._document.error_at = error, self._token

    def _read_field(self, node: Node) -> None:
        """One key of an object with its value, or the end of the object."""
        char = self._next_token()
        if char == b"}":
            return self._close(node)
        if char == b"]":
            self._token = self._at
        if node.value:
            char = self._after_comma(char)
        if char != b'"':
            raise self._errors.no_key(self._at)
        start, key = self._at, self._string()
        if key is None:
            raise self._errors.bad_string(start)
        if key in node.value:
            raise self._errors.duplicate_key(self._at, key)
        self._key, self._token = key, start
        if self._next_token() != b":":
            raise self._errors.no_colon(self._at)
        self._at += 1
        self._next_token()
        node.keys[key] = start
        node.value[key] = self._value(in_object=True)
        return None

    def _read_item(self, node: Node) -> None:
        """One item of an array, or the end of the array."""
        char = self._next_token()
        if char == b"]":
            return self._close(node)
        if char == b"}":
            self._token = self._at
        if node.value:
            self._after_comma(char)
        node.value.append(self._value(in_object=False))
        return None

    def _close(self, node: Node) -> None:
        self._token = self._at
        self._at += 1
        node.end = self._at
        self._open.pop()

    def _next_token(self) -> bytes:
        """Move to the next token and return its first byte, or nothing at the end."""
        char = self._data[self._at : self._at + 1]
        while char in NO_TOKEN:
            end = skip_blanks(self._data, self._at)
            if end == self._at:
                raise self._errors.no_token(end)
            self._at = end
            char = self._data[end : end + 1]
        return char

    def _after_comma(self, char: bytes) -> bytes:
        """Move past the comma that `char` must be; the first byte of the token behind it."""
        if char != b",":
            raise self._errors.no_comma(self._at)
        self._at += 1
        char = self._next_token()
        if not char:
            raise self._errors.nothing_after_comma(self._at)
        return char

    def _value(self, *, in_object: bool) -> Node:
        """Read a scalar, or open an object or array."""
        start, char = self._at, self._data[self._at : self._at + 1]
        self._document.values += 1
        if self._document.values > self._bounds.values:
            raise self._errors.too_many_values(start, self._document.values, self._bounds.values)
        if char == b'"':
            node = self._text(start)
        elif char == b"{":
            node = self._opened(Node("START_OBJECT", {}, start, -1, {}))
        elif char == b"[":
            node = self._opened(Node("START_ARRAY", [], start, -1))
        else:
            if char and not in_object:
                self._token = start  # in an object, the key is the last token before a bad scalar
            node = self._number(start) if char in NUMBER_STARTS else self._literal(start)
        self._token = start
        return node

    def _opened(self, node: Node) -> Node:
        self._open.append(node)
        self._at += 1
        if len(self._open) > self._bounds.nesting:
            raise self._errors.too_deep(self._at, len(self._open), self._bounds.nesting)
        return node

    def _text(self, start: int) -> Node:
        text = self._string()
        if text is None:
            self._token = start
            self._keep_unreadable(Node("VALUE_STRING", "", start, -1))
            raise self._errors.bad_string(start)
        return Node("VALUE_STRING", text, start, self._at)

    def _keep_unreadable(self, text: Node) -> None:
        """Leave a mark of a bad string: an ObjectParser may refuse or skip it by its kind alone."""
        if not self._open:
            self._document.root = text
        elif self._open[-1].kind == "START_OBJECT":
            self._open[-1].value[self._key] = text
        else:
            self._open[-1].value.append(text)

    def _string(self) -> str | None:
        """Read a string; None where none stands."""
        found = scan_string(self._data, self._at, lone_surrogates=self._lone_surrogates)
        if found is None:
            return None
        text, self._at = found
        return text

    def _number(self, start: int) -> Node:
        found = scan_number(self._data, start)
        if found is None:
            raise self._errors.bad_number(start)
        text, is_float = found
        self._at = end = start + len(text)
        if not self._open and self._data[end : end + 1] not in b" \t\r\n":
            raise self._errors.no_space_after_root(end)
        if len(text) > MAX_DIGITS:
            raise self._errors.number_too_long(end, len(text))
        number = _float(text.decode()) if is_float else int(text)
        return Node("VALUE_NUMBER", number, start, end)

    def _literal(self, start: int) -> Node:
        found = scan_literal(self._data, start)
        if found is None:
            raise self._errors.no_value(start)
        kind, value, self._at = found
        return Node(kind, value, start, self._at)

    @property
    def _errors(self) -> JsonErrors:
        in_object = bool(self._open) and self._open[-1].kind == "START_OBJECT"
        return JsonErrors(self._document, self._data, in_object=in_object)
