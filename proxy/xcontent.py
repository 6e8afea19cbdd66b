"""Documents as Elasticsearch reads them: a tree that knows where everything stood, and JSON.

A body is read once into a tree of nodes that remember where they stood, so that an error can name
its line and column. Reading is as strict and as lenient as Elasticsearch's Jackson: duplicate keys,
NaN and unquoted names are refused; comments and anything after the first value are not.
Source: spec of JsonXContentImpl; positions are 1-based and count bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.errors import Cause, ProxyError, XContentEnd, XContentParseFailed
from proxy.javatext import java_text

MAX_DEPTH: Final = 200  # orjson writes 254 levels at most; Elasticsearch reads 1000
MAX_DIGITS: Final = 1000  # of one number
_QUOTED_BYTES: Final = 500  # of a bad body, in the error text

# Possessive (`++`) inside, so that no body makes them try again what they have tried; not the
# groups themselves, which early releases of Python 3.11 get wrong.
_SKIP = re.compile(rb"(?:[ \t\r\n]++|//[^\n]*+|/\*.*?\*/)*", re.DOTALL)
_PLAIN_STRING = re.compile(rb'"[^"\\\x00-\x1f]*"')
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.+-])")
_WORD = re.compile(rb"[^\s,:\[\]{}\"]+")
_LITERALS: Final[dict[bytes, tuple[str, Any]]] = {
    b"true": ("VALUE_BOOLEAN", True),
    b"false": ("VALUE_BOOLEAN", False),
    b"null": ("VALUE_NULL", None),
}
_SECRET: Final = re.compile(rb'("api_key"[ \t\r\n]*:[ \t\r\n]*")[^"]*')  # as far as it goes
_VALUES: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@dataclass(slots=True)
class Node:
    """One value: `kind` is Jackson's token name, `value` a dict or list of nodes, or a scalar.

    `start` and `end` are byte offsets; `end` is -1 while an object or array is not closed, which
    only happens in a document that has an `error`.
    """

    kind: str
    value: Any
    start: int
    end: int
    keys: dict[str, int] = field(default_factory=dict)  # offset of each key of an object

    def plain(self) -> Any:
        """The value as Python objects."""
        if self.kind == "START_OBJECT":
            return {key: node.plain() for key, node in self.value.items()}
        if self.kind == "START_ARRAY":
            return [node.plain() for node in self.value]
        return self.value


@dataclass(slots=True)
class Document:
    """A body and its tree; after a syntax error `root` holds what came before it.

    Offsets count into `source`: bytes of JSON, characters of YAML, nothing of CBOR.
    """

    source: bytes | str
    root: Node | None
    error: ProxyError | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a place in the source, both from 1."""
        if isinstance(self.source, str):
            before = self.source[:offset]
            return before.count("\n") + 1, offset - before.rfind("\n")
        line = self.source.count(b"\n", 0, offset) + 1
        return line, offset - self.source.rfind(b"\n", 0, offset)

    def at(self, offset: int) -> str:
        """`[line:column]`, the beginning of Elasticsearch's parse errors."""
        return "[{}:{}]".format(*self.position(offset))

    def text(self, node: Node) -> str:
        """A scalar as its own text: numbers as they were written."""
        if node.kind == "VALUE_STRING":
            return str(node.value)
        written = self.source[node.start : node.end]
        text = written if isinstance(written, str) else written.decode()
        return text or java_text(node.value)

    def plain(self) -> Any:
        """The whole document as Python objects. Raises the syntax error if there is one."""
        if self.error is not None:
            raise self.error
        return None if self.root is None else self.root.plain()


def parse_json(data: bytes, *, quote: bool = True) -> Document:
    """Read the first JSON value of `data`; blank data has no root.

    Syntax errors quote the data to whoever sent it, unless `quote` is off.
    """
    return _JsonReader(_as_utf8(data), quote).read()


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


class _JsonReader:
    """Reads one value with an explicit stack, so that nesting costs no recursion."""

    def __init__(self, data: bytes, quote: bool) -> None:
        self._data = data
        self._quote = quote
        self._at = 0
        self._open: list[Node] = []
        self._document = Document(data, None)

    def read(self) -> Document:
        try:
            self._read()
        except ProxyError as error:
            self._document.error = error
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
        return self._data[self._at : self._at + 1]

    def _next_in_object(self, node: Node) -> None:
        char = self._skip()
        if char == b"}":
            return self._close(node)
        if node.value:
            self._expect(char, b",", "was expecting comma to separate Object entries")
            char = self._skip()
        self._expect(char, b'"', "was expecting double-quote to start field name", step=0)
        start = self._at
        key = self._string()
        if key in node.value:
            raise self._wrong(f"Duplicate field '{key}'")
        self._expect(self._skip(), b":", "was expecting a colon to separate field name and value")
        self._skip()
        node.keys[key] = start
        node.value[key] = self._value()
        return None

    def _next_in_array(self, node: Node) -> None:
        char = self._skip()
        if char == b"]":
            return self._close(node)
        if node.value:
            self._expect(char, b",", "was expecting comma to separate Array entries")
            self._skip()
        node.value.append(self._value())
        return None

    def _close(self, node: Node) -> None:
        self._at += 1
        node.end = self._at
        self._open.pop()

    def _value(self) -> Node:
        """Read a scalar, or open a container."""
        start, char = self._at, self._data[self._at : self._at + 1]
        if char == b'"':
            node = Node("VALUE_STRING", self._string(), start, self._at)
        elif char == b"{" or char == b"[":
            node = Node(*(("START_OBJECT", {}) if char == b"{" else ("START_ARRAY", [])), start, -1)
            self._open.append(node)
            self._at += 1
            if len(self._open) > MAX_DEPTH:
                raise self._wrong(
                    f"Document nesting depth ({len(self._open)}) exceeds the maximum allowed "
                    f"({MAX_DEPTH}, from `StreamReadConstraints.getMaxNestingDepth()`)"
                )
        else:
            node = self._number_or_word(char)
        if self._document.root is None:
            self._document.root = node
        return node

    def _number_or_word(self, char: bytes) -> Node:
        start = self._at
        if match := _NUMBER.match(self._data, start):
            self._at = match.end()
            return Node("VALUE_NUMBER", self._number(match.group()), start, self._at)
        if not char:
            raise self._ended()
        word = _WORD.match(self._data, start)
        if word and word.group() in _LITERALS:
            self._at = word.end()
            return Node(*_LITERALS[word.group()], start, self._at)
        if word and word.group()[:1].isalpha():
            token = word.group().decode(errors="replace")
            self._at = word.end()
            raise self._wrong(f"Unrecognized token '{token}': was expecting {_VALUES}")
        raise self._unexpected(char, f"expected a valid value {_VALUES}")

    def _number(self, text: bytes) -> int | float:
        if len(text) > MAX_DIGITS:
            raise self._wrong(f"Number value length ({len(text)}) exceeds the maximum allowed")
        return int(text) if text.lstrip(b"-").isdigit() else float(text)

    def _string(self) -> str:
        start = self._at
        if match := _PLAIN_STRING.match(self._data, start):
            self._at = match.end()
            raw, escaped = match.group(), False
        elif match := _STRING.match(self._data, start):
            self._at = match.end()
            raw, escaped = match.group(), True
        else:
            raise self._bad_string()
        try:
            return str(orjson.loads(raw)) if escaped else raw[1:-1].decode()
        except ValueError:  # a bad escape, a lone surrogate, or bytes that are not UTF-8
            self._at = start + 1
            raise self._wrong("Invalid character or escape sequence in a string") from None

    def _bad_string(self) -> ProxyError:
        """Why no closing quote was found: a raw control character, or the end of the body."""
        control = re.compile(rb"[\x00-\x1f]").search(self._data, self._at + 1)
        quote = self._data.find(b'"', self._at + 1)
        if control and (quote < 0 or control.start() < quote):
            code, self._at = control.group()[0], control.start()
            return self._wrong(
                f"Illegal unquoted character ((CTRL-CHAR, code {code})): has to be escaped "
                "using backslash to be included in string value"
            )
        self._at = len(self._data)
        return self._ended("Unexpected end-of-input: was expecting closing quote for a string")

    def _expect(self, char: bytes, wanted: bytes, rule: str, step: int = 1) -> None:
        if char != wanted:
            raise self._unexpected(char, rule) if char else self._ended()
        self._at += step

    def _unexpected(self, char: bytes, rule: str) -> ProxyError:
        shown = char.decode("latin-1")
        return self._wrong(f"Unexpected character ('{shown}' (code {char[0]})): {rule}")

    def _wrong(self, problem: str) -> ProxyError:
        text = problem + self._source()
        cause = Cause("json_parse_exception", text)
        return XContentParseFailed(f"{self._document.at(self._at)} {text}", cause=cause)

    def _ended(self, problem: str | None = None) -> ProxyError:
        where = "within/between Array entries"
        if self._open and self._open[-1].kind == "START_OBJECT":
            where = "within/between Object entries"
        text = (problem or f"Unexpected end-of-input {where}") + self._source()
        cause = Cause("json_e_o_f_exception", text)
        return XContentEnd(f"{self._document.at(self._at)} Unexpected end of file", cause=cause)

    def _source(self) -> str:
        shown = _SECRET.sub(rb"\1********", self._data[:_QUOTED_BYTES])
        quoted = '"' + shown.decode(errors="replace") + '"'
        if not self._quote:
            quoted = '"..."'
        elif (more := len(self._data) - _QUOTED_BYTES) > 0:
            quoted += f"[truncated {more} bytes]"
        line, column = self._document.position(self._at)
        return f"\n at [Source: (byte[]){quoted}; line: {line}, column: {column}]"
