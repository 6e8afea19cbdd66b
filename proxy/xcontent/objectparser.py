"""Objects read by the fields that a parser declares; the first problem is the error.

Source: ObjectParser, ConstructingObjectParser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import Cause, IllegalArgument, ProxyError, XContentParseFailed
from proxy.ground.masking import shown_name
from proxy.xcontent.document import Document, Node
from proxy.xcontent.suggestions import did_you_mean
from proxy.xcontent.values import MAX_INT, MAX_LONG, Json, is_decimal, parse_boolean


class Located(Exception):
    """A problem inside a value, and the offset that Elasticsearch's parser has reached."""

    def __init__(self, error: ProxyError, offset: int) -> None:
        super().__init__(error.reason)
        self.error = error
        self.offset = offset


class BadValue(Exception):
    """Raised by a field's reader: what Java throws for its value, and where if not at its start."""

    def __init__(self, cause: Cause, offset: int | None = None) -> None:
        super().__init__(cause.reason)
        self.cause = cause
        self.offset = offset


Read = Callable[[Document, Node], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field: the kinds of values that it allows, and what reads them."""

    kinds: frozenset[str]
    read: Read

    def or_null(self) -> Field:
        """The same for a value that may also be null."""

        def read(document: Document, node: Node) -> Any:
            return None if node.kind == "VALUE_NULL" else self.read(document, node)

        return Field(self.kinds | {"VALUE_NULL"}, read)


class ObjectParser:
    """Reads objects by their declared fields.

    Messages name the parser by `name`. A `lenient` parser skips fields that are not declared.
    Source: ObjectParser.parse.
    """

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Field],
        required: Sequence[str] = (),
        *,
        lenient: bool = False,
    ) -> None:
        self.name = name
        self._fields = fields
        self._required = required
        self._lenient = lenient

    def parse(self, document: Document, node: Node) -> Json:
        """The values by field name. Raises: Located; the document's syntax error."""
        if node.kind != "START_OBJECT":
            raise self._located(document, node.start, f"Expected START_OBJECT but was: {node.kind}")
        values = {
            name: self._read(document, name, value, node.keys[name])
            for name, value in node.value.items()
            if not self._lenient or name in self._fields
        }
        document.check_complete(node)
        if missing := [name for name in self._required if name not in values]:
            raise Located(IllegalArgument(f"Required [{', '.join(missing)}]"), node.end - 1)
        return values

    def _read(self, document: Document, name: str, node: Node, key: int) -> Any:
        field = self._fields.get(name)
        if field is None:
            hint = did_you_mean(name, self._fields)
            shown = shown_name(name)
            unknown = self._located(document, key, f"unknown field [{shown}]{hint}")
            raise Located(unknown.error, node.start)  # Elasticsearch's has moved to the value
        if node.kind not in field.kinds:
            problem = f"{name} doesn't support values of type: {node.kind}"
            raise self._located(document, node.start, problem)
        try:
            return field.read(document, node)
        except Located as inner:
            raise self._failed(document, name, inner.offset, inner.error) from None
        except BadValue as bad:
            offset = node.start if bad.offset is None else bad.offset
            raise self._failed(document, name, offset, bad.cause) from None
        except ProxyError as error:
            offset = document.error_at if error is document.error else node.start
            raise self._failed(document, name, offset, error) from None

    def _failed(
        self, document: Document, name: str, offset: int, cause: ProxyError | Cause
    ) -> Located:
        return self._located(document, offset, f"failed to parse field [{name}]", cause)

    def _located(
        self,
        document: Document,
        offset: int,
        problem: str,
        cause: ProxyError | Cause | None = None,
    ) -> Located:
        reason = f"{document.at(offset)} [{self.name}] {problem}"
        return Located(XContentParseFailed(reason, cause=cause), offset)


STRING: Final = frozenset({"VALUE_STRING"})
OBJECT: Final = frozenset({"START_OBJECT"})
ARRAY: Final = frozenset({"START_ARRAY"})
NUMBER: Final = frozenset({"VALUE_NUMBER", "VALUE_STRING"})
BOOLEAN: Final = frozenset({"VALUE_BOOLEAN", "VALUE_STRING"})


def read_string(document: Document, node: Node) -> str:
    return document.text(node)


def read_plain(document: Document, node: Node) -> Any:
    document.check_complete(node)
    return node.plain()


def read_int(document: Document, node: Node) -> int:
    """A 32-bit integer; strings are converted, fractions cut off, as Elasticsearch does."""
    return 0 if node.value == "NaN" else _integer(document, node, MAX_INT, "int", "an integer")


def read_long(document: Document, node: Node) -> int:
    """A 64-bit integer, read like a 32-bit one."""
    return _integer(document, node, MAX_LONG, "long", "a long")


def _integer(document: Document, node: Node, most: int, java_name: str, words: str) -> int:
    text = document.text(node).strip()
    shown = document.quoted_value(text)
    if not is_decimal(text):
        raise _not_a_number(text and shown)
    if node.kind == "VALUE_NUMBER" and not -most - 1 <= node.value <= most:
        problem = f"Numeric value ({shown}) out of range of {java_name} ({-most - 1} - {most})"
        problem += document.quoted(*document.position(node.end))
        cause = Cause("input_coercion_exception", problem)
        raise XContentParseFailed(f"{document.at(node.end)} {problem}", cause=cause)
    try:
        number = int(text) if text.lstrip("+-").isdigit() else int(float(text))
    except (ValueError, OverflowError):
        raise _not_a_number(shown) from None
    if not -most - 1 <= number <= most:
        raise IllegalArgument(f"Value [{shown}] is out of range for {words}")
    return number


def read_float(document: Document, node: Node) -> float:
    """A finite number, or a string of one."""
    text = document.text(node).strip()
    shown = document.quoted_value(text)
    if not is_decimal(text) and text.lstrip("+-") not in ("NaN", "Infinity"):
        raise _not_a_number(text and shown)
    number = float(text)
    if not math.isfinite(number):
        raise IllegalArgument(f"[float] supports only finite values, but got [{shown}]")
    return number


def read_boolean(document: Document, node: Node) -> bool:
    """A boolean, or a string of one; an empty string is false."""
    text = document.text(node)
    return text != "" and parse_boolean(text)


def objects_of(read: Read) -> Read:
    """A reader of a list of objects, or of a single object in place of the list."""

    def read_list(document: Document, node: Node) -> list[Any]:
        if node.kind == "START_OBJECT":
            return [read(document, node)]
        items = []
        for number, item in enumerate(node.value):
            after = node.value[number + 1] if number + 1 < len(node.value) else None
            if item.kind == "START_OBJECT":
                items.append(read(document, item))
            elif after is None or after.kind != "START_OBJECT" or item.kind == "START_ARRAY":
                raise _no_object(document, node, item, after)
        document.check_complete(node)
        return items

    return read_list


def _no_object(document: Document, node: Node, item: Node, after: Node | None) -> Exception:
    """The error for an item that is no object.

    Elasticsearch skips a scalar and complains about what follows it.
    """
    offset = item.start
    if item.kind != "START_ARRAY":
        if after is None:
            document.check_complete(node)
        offset = node.end - 1 if after is None else after.start
    return Located(XContentParseFailed(f"{document.at(offset)} expected an object"), offset)


def _not_a_number(text: str) -> BadValue:
    reason = f'For input string: "{text}"' if text else "empty String"
    return BadValue(Cause("number_format_exception", reason))


def parse_object(parser: ObjectParser, document: Document) -> Json:
    """The values of a body that is one object. Raises: the first error that the body holds."""
    if document.root is None:
        reason = f"[1:0] [{parser.name}] Expected START_OBJECT but was: null"
        raise document.error or XContentParseFailed(reason)
    try:
        return parser.parse(document, document.root)
    except Located as located:
        raise located.error from None
