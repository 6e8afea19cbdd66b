"""How large a value is, before it is written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from proxy.xcontent.numbers import Numbers

_EACH: Final = 8  # bytes of a number, or of what surrounds any other value
_CONTAINERS: Final = (dict, list, tuple)  # as constants, for making a union takes longer than this
_NUMBERS: Final = (int, float)
_SHORT: Final = 16  # values; so many are looked at in any case


def weight(value: Any, most: int) -> int:
    """About how many bytes a value takes when it is written; counting ends beyond `most`.

    Numbers are not looked at one by one: a long list or object that begins with one holds nothing
    else, as vectors do.
    """
    total, left = 0, [value]
    while left and total <= most:
        item = left.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, _CONTAINERS):
            total += len(item) * _EACH
            if total <= most:
                values: Collection[Any] = item
                if isinstance(item, dict):
                    total += sum(map(len, item))
                    values = item.values()
                if len(values) <= _SHORT or not isinstance(next(iter(values)), _NUMBERS):
                    left += values
        elif isinstance(item, Numbers):  # last, as that is slow to ask of anything else
            total += len(item.json)
    return total
