"""Documents as Elasticsearch reads them: trees that know where everything stood.

A body is read once into a tree of nodes that remember where they stood, so that an error can name
its line and column, whatever the format: `proxy.jsonreader` reads JSON, `proxy.formats` the others.
Source: XContentParser; positions are 1-based and count bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import ProxyError
from proxy.masking import is_harmless, may_hold_token, shown_name, shown_word
from proxy.xcontent.javatext import java_scalar

_QUOTED_BYTES: Final = 500  # of a bad body, in the error text
_LOOKED_AT: Final = 64 * 1024  # bytes of it that tell whether a token may stand there


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a document may become: a tree takes up to a hundred times the body's bytes."""

    nesting: int  # levels of objects and arrays
    values: int  # scalars, objects and arrays


@dataclass(slots=True)
class Node:
    """One value: `kind` is Jackson's token name, `value` a dict or list of nodes, or a scalar.

    `start` and `end` are byte offsets; `end` is -1 while an object, array or text is not complete,
    which only happens in a document that has an `error`.
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
    error_at: int = 0  # where the last token before the error began
    is_private: bool = False  # whether errors quote nothing that could be a secret
    values: int = 0  # that were read

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

    def quoted(self, line: int, column: int) -> str:
        """The end of Jackson's errors: the beginning of the source, and a place in it."""
        source = self.source if isinstance(self.source, bytes) else self.source.encode()
        quoted = '"' + source[:_QUOTED_BYTES].decode(errors="replace") + '"'
        more = len(source) - _QUOTED_BYTES
        if self._is_guarded() and (more > 0 or not is_harmless(source)):
            quoted = '"..."'
        elif more > 0:
            quoted += f"[truncated {more} bytes]"
        return f"\n at [Source: (byte[]){quoted}; line: {line}, column: {column}]"

    def quoted_word(self, word: str) -> str:
        """A word outside quotes, as errors quote it."""
        return shown_word(word) if self._is_guarded() else shown_name(word)

    def _is_guarded(self) -> bool:
        if self.is_private:
            return True
        beginning = self.source[:_LOOKED_AT]
        return may_hold_token(beginning if isinstance(beginning, bytes) else beginning.encode())

    def text(self, node: Node) -> str:
        """A scalar as its own text: numbers as they were written. Raises: as `whole`."""
        self.whole(node)
        if node.kind == "VALUE_STRING":
            return str(node.value)
        written = self.source[node.start : node.end]
        text = written if isinstance(written, str) else written.decode()
        return text or java_scalar(node.value)

    def whole(self, node: Node) -> None:
        """Raises: the syntax error, if the node was not read to its end."""
        if node.end < 0 and self.error is not None:
            raise self.error

    def plain(self) -> Any:
        """The whole document as Python objects. Raises the syntax error if there is one."""
        if self.error is not None:
            raise self.error
        return None if self.root is None else self.root.plain()
