"""Reading untrusted values as Elasticsearch does, with its texts.

Two readers, because Elasticsearch has two. `Fields` reads settings out of a map and collects all
problems (ServiceUtils, ModelConfigurations). `ObjectParser` reads a request body field by field,
stops at the first problem and says where it stood (ObjectParser, ConstructingObjectParser).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from proxy.errors import (
    Cause,
    IllegalArgument,
    ProxyError,
    StatusError,
    ValidationFailed,
    XContentParseFailed,
)
from proxy.javatext import java_text
from proxy.masking import shown_name, shown_value
from proxy.xcontent import Document, Node

Json = dict[str, Any]
T = TypeVar("T")
_MAX_INT: Final = 2**31 - 1
_MAX_LONG: Final = 2**63 - 1


# Settings


class Problems:
    """Collects what is wrong, to be reported all at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raises: ValidationFailed, numbered in the order of discovery."""
        if self._found:
            raise ValidationFailed(self._found)


class Fields:
    """A map of settings. Each `take_` removes its key, so that what is left over is unknown.

    Source: ServiceUtils.extractRequiredString and its siblings, which fix the texts.
    """

    def __init__(self, values: Mapping[str, Any], scope: str, problems: Problems) -> None:
        self._values = dict(values)
        self._scope = scope
        self.problems = problems

    @property
    def left_over(self) -> Json:
        """The settings that nobody took."""
        return self._values

    def take(self, name: str) -> Any:
        """The value as it is, None when missing."""
        return self._values.pop(name, None)

    def take_str(self, name: str) -> str | None:
        """An optional text that is not empty."""
        value = self.take_typed(name, str, "String")
        if value == "":
            self._invalid_empty(name)
            return None
        return value

    def take_required_str(self, name: str) -> str:
        """A text that must be there; an empty one stands for a recorded problem."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            self._missing(name)
            return ""
        return self.take_str(name) or ""

    def take_enum(self, name: str, allowed: Sequence[str]) -> str | None:
        """An optional text out of `allowed`, trimmed and in any letter case."""
        value = self.take_str(name)
        if value is None:
            return None
        if (found := value.strip().lower()) in allowed:
            return found
        self.problems.add(
            f"[{self._scope}] Invalid value [{shown_value(value, name)}] received. "
            f"[{name}] must be one of [{', '.join(sorted(allowed))}]"
        )
        return None

    def take_bool(self, name: str) -> bool | None:
        return self.take_typed(name, bool, "Boolean")

    def take_list(self, name: str) -> list[Any] | None:
        return self.take_typed(name, list, "List")

    def take_positive_int(self, name: str, *, required: bool = False) -> int | None:
        """An integer of 1 or more; a bad value is recorded and read as None."""
        if required and self._values.get(name) is None:
            self._values.pop(name, None)
            self._missing(name)
            return None
        value = self.take_typed(name, int, "Integer", _is_int32)
        if value is not None and value <= 0:
            self.problems.add(
                f"[{self._scope}] Invalid value [{value}]. [{name}] must be a positive integer"
            )
            return None
        return value

    def take_positive_long(self, name: str) -> int | None:
        """A 64-bit integer of 1 or more."""
        value = self.take(name)
        if value is None:
            return None
        if type(value) is not int or not -_MAX_LONG <= value <= _MAX_LONG:
            self.problems.add(
                f"field [{name}] is not of one of the expected types. The value "
                f"[{java_text(value, name)}] cannot be converted to one of [Integer, Long]"
            )
            return None
        if value <= 0:
            self.problems.add(
                f"[{self._scope}] Invalid value [{value}]. [{name}] must be a positive long"
            )
            return None
        return value

    def take_map(self, name: str, scope: str | None = None) -> Fields | None:
        """A nested map; anything else but null is refused at once."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            # Elasticsearch answers 500 class_cast_exception here.
            raise IllegalArgument(wrong_type(name, value, "Map"))
        return Fields(value, scope or name, self.problems)

    def take_typed(
        self,
        name: str,
        kind: type[T],
        java_name: str,
        fits: Callable[[T], bool] | None = None,
    ) -> T | None:
        """The value if it is of `kind`; a wrong one is recorded and read as None."""
        value = self.take(name)
        if value is None:
            return None
        # `type`, not isinstance: True is an int, too.
        if type(value) is not kind or (fits is not None and not fits(value)):
            self.problems.add(wrong_type(name, value, java_name))
            return None
        return value

    def _missing(self, name: str) -> None:
        self.problems.add(f"[{self._scope}] does not contain the required setting [{name}]")

    def _invalid_empty(self, name: str) -> None:
        self.problems.add(
            f"[{self._scope}] Invalid value empty string. [{name}] must be a non-empty string"
        )


def wrong_type(name: str, value: Any, java_name: str) -> str:
    """Elasticsearch's text for a setting of the wrong JSON type."""
    return (
        f"field [{name}] is not of the expected type. The value [{java_text(value, name)}] "
        f"cannot be converted to a [{java_name}]"
    )


def _is_int32(value: int) -> bool:
    return -_MAX_INT - 1 <= value <= _MAX_INT


def refuse_unknown(left_over: Mapping[str, Any], service: str) -> None:
    """Raises: StatusError 400 naming settings that nobody took."""
    if left_over:
        raise StatusError(
            400,
            f"Configuration contains settings [{java_text(dict(left_over))}] unknown to the "
            f"[{service}] service",
        )


# Request bodies


class Located(Exception):
    """A problem inside a value, with the byte offset where the parser stood."""

    def __init__(self, error: ProxyError, offset: int) -> None:
        super().__init__(error.reason)
        self.error = error
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field: the token kinds that it takes, and how a node becomes its value."""

    kinds: frozenset[str]
    read: Callable[[Document, Node], Any]


class ObjectParser:
    """Declared fields of one object; the first problem wins.

    `name` is the parser's name in messages; a `lenient` one skips fields that it does not know.
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
        """The values by name. Raises: Located, or the document's syntax error."""
        if node.kind != "START_OBJECT":
            raise self._located(document, node.start, f"Expected START_OBJECT but was: {node.kind}")
        values = {
            name: self._read(document, name, value, node.keys[name])
            for name, value in node.value.items()
            if not self._lenient or name in self._fields
        }
        document.whole(node)  # or the syntax error that cuts it off comes next
        if missing := [name for name in self._required if name not in values]:
            raise Located(IllegalArgument(f"Required [{', '.join(missing)}]"), node.end - 1)
        return values

    def _read(self, document: Document, name: str, node: Node, key: int) -> Any:
        field = self._fields.get(name)
        if field is None:
            hint = did_you_mean(name, self._fields)
            shown = shown_name(name)
            unknown = self._located(document, key, f"unknown field [{shown}]{hint}")
            raise Located(unknown.error, node.start)  # the parser stands at the value by now
        if node.kind not in field.kinds:
            problem = f"{name} doesn't support values of type: {node.kind}"
            raise self._located(document, node.start, problem)
        try:
            return field.read(document, node)
        except Located as inner:
            raise self._failed(document, name, inner.offset, inner.error) from None
        except ProxyError as error:
            offset = document.error_at if error is document.error else node.start
            raise self._failed(document, name, offset, error) from None

    def _failed(self, document: Document, name: str, offset: int, cause: ProxyError) -> Located:
        return self._located(document, offset, f"failed to parse field [{name}]", cause)

    def _located(
        self, document: Document, offset: int, problem: str, cause: ProxyError | None = None
    ) -> Located:
        reason = f"{document.at(offset)} [{self.name}] {problem}"
        return Located(XContentParseFailed(reason, cause=cause), offset)


_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
STRING: Final = frozenset({"VALUE_STRING"})
OBJECT: Final = frozenset({"START_OBJECT"})
ARRAY: Final = frozenset({"START_ARRAY"})
NUMBER: Final = frozenset({"VALUE_NUMBER", "VALUE_STRING"})
BOOLEAN: Final = frozenset({"VALUE_BOOLEAN", "VALUE_STRING"})


def read_string(document: Document, node: Node) -> str:
    return document.text(node)


def read_plain(document: Document, node: Node) -> Any:
    document.whole(node)
    return node.plain()


def read_int(document: Document, node: Node) -> int:
    """A 32-bit integer; texts and fractions are coerced as Elasticsearch does."""
    return 0 if node.value == "NaN" else _integer(document, node, _MAX_INT, "int", "an integer")


def read_long(document: Document, node: Node) -> int:
    """The same in 64 bits."""
    return _integer(document, node, _MAX_LONG, "long", "a long")


def _integer(document: Document, node: Node, most: int, java_name: str, words: str) -> int:
    text = document.text(node).strip()
    if not _NUMBER.fullmatch(text):
        raise _not_a_number(text)
    if node.kind == "VALUE_NUMBER" and not -most - 1 <= node.value <= most:
        problem = f"Numeric value ({text}) out of range of {java_name} ({-most - 1} - {most})"
        problem += document.quoted(*document.position(node.end))
        cause = Cause("input_coercion_exception", problem)
        raise XContentParseFailed(f"{document.at(node.end)} {problem}", cause=cause)
    try:
        number = int(text) if text.lstrip("+-").isdigit() else int(float(text))
    except (ValueError, OverflowError):
        raise _not_a_number(text) from None
    if not -most - 1 <= number <= most:
        raise IllegalArgument(f"Value [{text}] is out of range for {words}")
    return number


def read_float(document: Document, node: Node) -> float:
    """A number or a numeric text."""
    text = document.text(node).strip()
    if not _NUMBER.fullmatch(text) and text.lstrip("+-") not in ("NaN", "Infinity"):
        raise _not_a_number(text)
    number = float(text)
    if not math.isfinite(number):
        raise IllegalArgument(f"[float] supports only finite values, but got [{text}]")
    return number


def read_boolean(document: Document, node: Node) -> bool:
    """A boolean or its text; an empty text is false."""
    text = document.text(node)
    return text != "" and parse_boolean(text)


def _not_a_number(text: str) -> ProxyError:
    reason = f'For input string: "{text}"' if text else "empty String"
    return Cause("number_format_exception", reason)


def parse_boolean(text: str) -> bool:
    """Raises: IllegalArgument for anything but `true` and `false`."""
    if text not in ("true", "false"):
        raise IllegalArgument(
            f"Failed to parse value [{text}] as only [true] or [false] are allowed."
        )
    return text == "true"


# Suggestions


def did_you_mean(name: str, candidates: Iterable[str], prefix: str = " ") -> str:
    """Elasticsearch's suggestion for a misspelt name, or nothing.

    Source: SuggestingErrorOnUnknownFields, BaseRestHandler.unrecognized.
    """
    # Names much longer or shorter are not near, and measuring them takes time.
    measured = [other for other in candidates if len(other) < 2 * len(name) < 4 * len(other)]
    scored = sorted((-_similarity(name, other), other) for other in measured)
    near = [other for score, other in scored if -score > 0.5]
    if not near:
        return ""
    if len(near) == 1:
        return f"{prefix}did you mean [{near[0]}]?"
    return f"{prefix}did you mean any of [{', '.join(near)}]?"


def _similarity(one: str, other: str) -> float:
    """1 minus the edit distance per character of the longer name, as Lucene measures it."""
    previous = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        current = [row]
        for column, right in enumerate(other, 1):
            current.append(
                min(
                    previous[column] + 1,
                    current[column - 1] + 1,
                    previous[column - 1] + (left != right),
                )
            )
        previous = current
    return 1.0 - previous[-1] / max(len(one), len(other), 1)


# Time values

_UNITS: Final = {  # the longer ones first that end in a shorter one
    "nanos": 1e-9,
    "micros": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def parse_time(text: str, setting: str) -> float:
    """A time value such as `30s`, in seconds; a negative number stands for no limit.

    Raises: IllegalArgument. Source: TimeValue.parseTimeValue.
    """
    normalized = text.lower().strip()
    for unit, seconds in _UNITS.items():
        # Only minutes are told by their letter case, and before blanks are cut: `M` means months.
        if (text if unit == "m" else normalized).endswith(unit):
            return _time_number(normalized.removesuffix(unit).strip(), text, setting) * seconds
    if re.fullmatch("-0*1|0+", normalized):
        return float(normalized)
    raise IllegalArgument(
        f"failed to parse setting [{setting}] with value [{text}] as a time value: "
        "unit is missing or unrecognized"
    )


def _time_number(number: str, text: str, setting: str) -> int:
    count = int(number) if re.fullmatch(r"[+-]?[0-9]{1,30}", number) else None
    if count is None or not -_MAX_LONG - 1 <= count <= _MAX_LONG:
        fraction = _NUMBER.fullmatch(number) is not None
        more = ", fractional time values are not supported" if fraction else ""
        cause = Cause("number_format_exception", f'For input string: "{number}"')
        raise IllegalArgument(f"failed to parse [{text}]{more}", cause=cause)
    if count < -1:
        raise IllegalArgument(
            f"failed to parse setting [{setting}] with value [{text}] as a time value: "
            "negative durations are not supported"
        )
    return count


def time_text(seconds: float) -> str:
    """A duration in its largest fitting unit, as TimeValue prints it: `1.5m`, `50ms`."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "micros"):
        if seconds >= _UNITS[unit]:
            tenths = int(round(seconds / _UNITS[unit], 6) * 10)  # cut off, not rounded
            return f"{tenths / 10:.1f}".removesuffix(".0") + unit
    return f"{round(seconds * 1e9)}nanos"
