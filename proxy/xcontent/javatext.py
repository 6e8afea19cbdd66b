"""Values as Java prints them in Elasticsearch's messages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from proxy.masking import is_secret, shown_name, shown_value


def java_text(value: Any, name: str = "") -> str:
    """A value as toString prints it, `{a=[1, x], b=null}`, with masks where a token may stand.

    `name` is the setting whose value it is. Elasticsearch prints a token that stands in the wrong
    place; we must not.
    """
    match value:
        case None | bool():
            return java_scalar(value)
        case dict() if not is_secret(name):
            rows = [
                f"{shown_name(key)}={java_text(value[key], key)}" for key in java_hash_order(value)
            ]
            return "{" + ", ".join(rows) + "}"
        case list() | tuple() if not is_secret(name):
            return "[" + ", ".join(java_text(item, name) for item in value) + "]"
    return shown_value(java_scalar(value), name)


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
    """Keys in the order in which a java.util.HashMap iterates over them."""
    names = list(keys)
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
