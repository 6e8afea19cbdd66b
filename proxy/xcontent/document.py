"""A body as a tree whose values know their place, so that an error can name line and column.

`formats` lists what reads the trees. Source: XContentParser, XContentLocation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import ProxyError
from proxy.ground.masking import is_harmless, may_hold_token, shown_name, shown_word
from proxy.ground.quoting import quoted_part
from proxy.xcontent.javatext import java_scalar

_QUOTED_BYTES: Final = 500  # of a bad body, in the error text
_SEARCHED: Final = 64 * 1024  # bytes of it that are searched for what may be a token
_LEFT_OUT: Final = "..."
_MAX_BITS: Final = 3000  # of an integer
_NO_KEYS: Final[dict[str, int]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a document may become: a tree takes up to a hundred times the body's bytes."""

    nesting: int  # levels of objects and arrays
    values: int  # scalars, objects and arrays


@dataclass(slots=True)
class Node:
    """One value of a document.

    `start` and `end` are offsets into the source. `end` is -1 for an object, array or string that
    a syntax error cuts off.
    """

    kind: str  # Jackson's JsonToken, such as `START_OBJECT` or `VALUE_NUMBER`
    value: Any  # a dict of nodes by key, a list of nodes, or a scalar
    start: int
    end: int
    # Of an object: the offset of each key. All other values share one that stays empty.
    keys: dict[str, int] = field(default_factory=lambda: _NO_KEYS)

    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if self.kind == "START_OBJECT":
            return {key: node.plain() for key, node in self.value.items()}
        if self.kind == "START_ARRAY":
            return [node.plain() for node in self.value]
        return self.value


def scalar_kind(value: Any) -> str:
    """The `kind` of a scalar. Raises: ValueError for one that JSON cannot write."""
    match value:
        case None:
            return "VALUE_NULL"
        case bool():
            return "VALUE_BOOLEAN"
        case float() if value != value:
            raise ValueError("not a number")
        case int() if value.bit_length() > _MAX_BITS:
            raise ValueError("an integer beyond measure")
        case int() | float():
            return "VALUE_NUMBER"
        case str():
            return "VALUE_STRING"
    raise ValueError(f"unsupported type {type(value).__name__}")


@dataclass(slots=True)
class Document:
    """A body and its tree. After a syntax error, `root` holds what comes before it.

    Offsets count bytes of JSON and characters of YAML; CBOR has an empty source, and all are 0.
    """

    source: bytes | str
    root: Node | None
    error: ProxyError | None = None
    error_at: int = 0  # where the last token before the error began
    is_private: bool = False  # whether errors must not quote the source
    values: int = 0  # how many were read

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        if isinstance(self.source, str):
            before = self.source[:offset]
            return before.count("\n") + 1, offset - before.rfind("\n")
        line = self.source.count(b"\n", 0, offset) + 1
        return line, offset - self.source.rfind(b"\n", 0, offset)

    def at(self, offset: int) -> str:
        """`[line:column]` of an offset, as Elasticsearch's parse errors begin."""
        return "[{}:{}]".format(*self.position(offset))

    def quoted(self, line: int, column: int) -> str:
        """The end of Jackson's messages: the first bytes of the source, and a place in it."""
        source = self.source if isinstance(self.source, bytes) else self.source.encode()
        quoted = '"' + source[:_QUOTED_BYTES].decode(errors="replace") + '"'
        more = len(source) - _QUOTED_BYTES
        if self._is_guarded() and (more > 0 or not is_harmless(source)):
            quoted = f'"{_LEFT_OUT}"'
        elif more > 0:
            quoted += f"[truncated {more} bytes]"
        return f"\n at [Source: (byte[]){quoted}; line: {line}, column: {column}]"

    def quoted_word(self, word: str) -> str:
        """A word that stands in the source without quotes, as errors quote it."""
        if self.is_private:
            return _LEFT_OUT
        return shown_word(word) if self._is_guarded() else shown_name(word)

    def quoted_key(self, key: str) -> str:
        """The key of an object, as errors quote it."""
        return _LEFT_OUT if self.is_private else shown_name(key)

    def quoted_value(self, text: str) -> str:
        """The text of a scalar, as errors quote it."""
        return _LEFT_OUT if self.is_private else quoted_part(text)

    def _is_guarded(self) -> bool:
        if self.is_private:
            return True
        beginning = self.source[:_SEARCHED]
        return may_hold_token(beginning if isinstance(beginning, bytes) else beginning.encode())

    def text(self, node: Node) -> str:
        """The text of a scalar; numbers as they were written. Raises: as `check_complete`."""
        self.check_complete(node)
        if node.kind == "VALUE_STRING":
            return str(node.value)
        written = self.source[node.start : node.end]
        text = written if isinstance(written, str) else written.decode()
        return text or java_scalar(node.value)

    def check_complete(self, node: Node) -> None:
        """Raises: the syntax error, if it cuts this value off."""
        if node.end < 0 and self.error is not None:
            raise self.error

    def plain(self) -> Any:
        """The body as dicts, lists and scalars. Raises: the syntax error, if there is one."""
        if self.error is not None:
            raise self.error
        return None if self.root is None else self.root.plain()
