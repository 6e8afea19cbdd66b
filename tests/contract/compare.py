"""Comparing answers: JSON with float32 numbers, texts, event streams.

Each function returns a list of differences in words; an empty one means that there are none.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

# Keys that the proxy adds to Elasticsearch's own in an error.
EXTRA_KEYS: Final = ("hint", "provider_status")
# Messages of Elasticsearch's JSON parser, Jackson: of these only the position is compared.
PARSER_TEXT: Final = re.compile(
    r"^(\[\d+:\d+\] )?(Unexpected (character|end|close|token)|Duplicate field|Unrecognized token)"
)
POSITIONS: Final = re.compile(r"^\[(\d+):(\d+)\]|line: (\d+), column: (\d+)\]$")


def differences(expected: Any, actual: Any, where: str = "", *, ordered: bool = False) -> list[str]:
    """Compare two JSON values completely; with `ordered`, the order of keys as well."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _objects(expected, actual, where, ordered)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{where}: {len(actual)} items instead of {len(expected)}: {actual}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [
            d for n, (e, a) in pairs for d in differences(e, a, f"{where}.{n}", ordered=ordered)
        ]
    return [] if _same_scalar(expected, actual) else [f"{where}: {actual!r} is not {expected!r}"]


def _objects(
    expected: Mapping[str, Any], actual: Mapping[str, Any], where: str, ordered: bool
) -> list[str]:
    found = [f"{where}.{key}: missing" for key in expected if key not in actual]
    found += [
        f"{where}.{key}: unexpected: {actual[key]!r}" for key in actual if key not in expected
    ]
    if ordered and not found and list(expected) != list(actual):
        found.append(f"{where}: keys {list(actual)} are not in the order {list(expected)}")
    for key in expected:
        if key in actual:
            found += differences(expected[key], actual[key], f"{where}.{key}", ordered=ordered)
    return found


def subset_differences(expected: Any, actual: Any, where: str = "") -> list[str]:
    """Like `differences`, but objects may have more keys than expected."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = [f"{where}.{key}: missing in {actual}" for key in expected if key not in actual]
        for key in expected.keys() & actual.keys():
            found += subset_differences(expected[key], actual[key], f"{where}.{key}")
        return found
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [d for n, (e, a) in pairs for d in subset_differences(e, a, f"{where}.{n}")]
    return differences(expected, actual, where)


def _same_scalar(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool) or expected is None:
        return expected is actual
    if isinstance(expected, int) and isinstance(actual, int):
        return expected == actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return struct.pack("<f", expected) == struct.pack("<f", actual)
    if isinstance(expected, str) and isinstance(actual, str):
        return expected == actual or _same_parser_text(expected, actual)
    return bool(expected == actual)


def _same_parser_text(expected: str, actual: str) -> bool:
    """Whether both are parser messages that name the same position."""
    if not PARSER_TEXT.match(expected):
        return False
    wanted, got = _positions(expected), _positions(actual)
    return all(got.get(form) == wanted[form] for form in wanted if form == "start" or form in got)


def _positions(text: str) -> dict[str, tuple[int, int]]:
    """The positions in a parser message: `[line:col]` at its start, in words at its end."""
    found: dict[str, tuple[int, int]] = {}
    for match in POSITIONS.finditer(text):
        line, column, end_line, end_column = match.groups()
        if line:
            found["start"] = (int(line), int(column))
        else:
            found["end"] = (int(end_line), int(end_column))
    return found


def text_differences(expected: str, actual: str) -> list[str]:
    """Compare texts; JSON may differ in how numbers are printed, but not in the order of keys."""
    if expected == actual:
        return []
    try:
        values = orjson.loads(expected), orjson.loads(actual)
    except orjson.JSONDecodeError:
        return [f"text {actual!r} is not {expected!r}"]
    if actual[-1:].isspace() != expected[-1:].isspace() or "\n " in expected + actual:
        return [f"text {actual!r} is not laid out like {expected!r}"]
    return differences(*values, ordered=True)


def without_extras(body: Any) -> Any:
    """A body without the keys that only the proxy adds to an error."""
    if isinstance(body, dict):
        return {key: without_extras(v) for key, v in body.items() if key not in EXTRA_KEYS}
    return [without_extras(item) for item in body] if isinstance(body, list) else body


def at(body: Any, path: str) -> Any:
    """The value at a dotted path; "" is the whole body. Raises: LookupError."""
    for step in path.split(".") if path else ():
        if isinstance(body, list):
            body = body[int(step)]
        elif isinstance(body, dict):
            body = body[step]
        else:
            raise LookupError(step)
    return body


def path_differences(body: Any, path: str, expected: Any) -> list[str]:
    """Compare the value at a dotted path with a value, or with one of the `$` operators."""
    try:
        actual = at(body, path)
    except LookupError:
        return [f"{path}: missing in {body}"]
    operators = [key for key in expected if key.startswith("$")] if type(expected) is dict else []
    if not operators:
        return differences(expected, actual, path)
    return [d for name in operators for d in _OPERATORS[name](actual, expected[name], path)]


def _type(actual: Any, name: str, path: str) -> list[str]:
    kinds = {"string": str, "array": list}
    return [] if isinstance(actual, kinds[name]) else [f"{path}: {actual!r} is no {name}"]


def _length(actual: Any, length: int, path: str) -> list[str]:
    if isinstance(actual, list) and len(actual) == length:
        return []
    return [f"{path}: {actual!r} is no array of {length}"]


def _contains_object(actual: Any, expected: Any, path: str) -> list[str]:
    if isinstance(actual, list) and any(not subset_differences(expected, item) for item in actual):
        return []
    return [f"{path}: no item of {actual!r} contains {expected!r}"]


def _ordered_subsequence(actual: Any, expected: Sequence[Any], path: str) -> list[str]:
    left = list(expected)
    for item in actual if isinstance(actual, list) else ():
        if left and not subset_differences(left[0], item):
            left.pop(0)
    return [f"{path}: {actual!r} does not hold, in order, {expected!r}"] if left else []


_OPERATORS: Final[dict[str, Callable[[Any, Any, str], list[str]]]] = {
    "$type": _type,
    "$len": _length,
    "$contains_object": _contains_object,
    "$ordered_subsequence": _ordered_subsequence,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One server-sent event; `data` is its text."""

    event: str
    data: str

    @property
    def json(self) -> Any:
        """The data parsed as JSON, or as text if it is none."""
        try:
            return without_extras(orjson.loads(self.data))
        except orjson.JSONDecodeError:
            return self.data


def parse_events(text: str) -> tuple[list[Event], list[str]]:
    """The events of a stream, and the errors in its framing.

    Strict: an event is `event: NAME`, `data: TEXT` and a blank line, as Elasticsearch writes it.
    """
    *blocks, tail = text.split("\n\n")
    problems = [f"the stream ends within an event: {tail!r}"] if tail else []
    events = []
    for block in blocks:
        match = re.fullmatch(r"event: (\w+)\ndata: (.*)", block)
        if match is None:
            problems.append(f"no event: {block!r}")
        else:
            events.append(Event(event=match[1], data=match[2]))
    return events, problems
