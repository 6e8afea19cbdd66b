"""Values as Java prints them in Elasticsearch's messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from proxy.ground.masking import is_secret, shown_name, shown_value
from proxy.ground.quoting import MOST

_ORDERED: Final = 10_000  # characters of all keys whose order is Java's; more take too long


def java_text(value: Any, name: str = "") -> str:
    """A value as toString prints it, `{a=[1, x], b=null}`, with masks where a token may stand.

    `name` is the setting whose value it is. Elasticsearch prints a token that stands in the wrong
    place; we must not.
    """
    parts: list[str] = []
    size = 0
    for part in _parts(value, name):
        parts.append(part)
        size += len(part)
        if size > MOST:  # no message quotes more
            parts.append("…")
            break
    return "".join(parts)


def _parts(value: Any, name: str) -> Iterator[str]:
    """The text of a value, one after the other, so that nobody has to make all of it."""
    match value:
        case dict() if not is_secret(name):
            yield "{"
            for n, key in enumerate(java_hash_order(value)):
                yield f"{', ' if n else ''}{shown_name(key)}="
                yield from _parts(value[key], key)
            yield "}"
        case list() | tuple() if not is_secret(name):
            yield "["
            for n, item in enumerate(value):
                yield ", " if n else ""
                yield from _parts(item, name)
            yield "]"
        case None | bool():
            yield java_scalar(value)
        case _:
            yield shown_value(java_scalar(value), name)


def java_scalar(value: Any) -> str:
    """A scalar as toString prints it, nothing masked."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return java_double(value)
    return str(value)


def java_double(number: float) -> str:
    """A number as Double.toString prints it: `1.0`, `1.0E10`, `9.999E-4`."""
    if not math.isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
    exact = Decimal(repr(number))
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        text = format(exact, "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = exact.normalize().as_tuple()
    text = "".join(map(str, digits))
    power = int(exponent) + len(text) - 1
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{power}"


def java_hash_order(keys: Iterable[str]) -> list[str]:
    """Keys in the order in which a java.util.HashMap iterates over them; very many as they come."""
    names = list(keys)
    if sum(map(len, names)) > _ORDERED:
        return names
    size = 16
    while len(names) > size * 0.75:
        size *= 2
    return sorted(names, key=lambda name: _java_hash(name) & (size - 1))


def _java_hash(text: str) -> int:
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return code ^ (code >> 16)
