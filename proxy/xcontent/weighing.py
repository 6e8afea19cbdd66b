"""How large a value is, before it is written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from proxy.xcontent.numbers import Numbers, WrittenObject

_EACH: Final = 8  # bytes of a number, or of what surrounds any other value
_SHORT: Final = 16  # values; so many are looked at in any case


def weight(value: Any, most: int) -> int:
    """About how many bytes a value takes when it is written; counting ends beyond `most`.

    Numbers are not looked at one by one: a long list or object that begins with one holds nothing
    else, as vectors do.
    """
    if type(value) is WrittenObject:
        return len(value.json)
    total, left = 0, [value]
    while left and total <= most:
        item = left.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            total += len(item) * _EACH
            if total <= most:
                total += sum(map(len, item))
                if len(item) <= _SHORT or not _begins_with_number(item.values()):
                    left += item.values()
        elif isinstance(item, list | tuple):
            total += len(item) * _EACH
            if total <= most and (len(item) <= _SHORT or not _begins_with_number(item)):
                left += item
        elif type(item) is Numbers:  # as any class that has `Sequence` for a base is slow to ask
            total += len(item.json)
    return total


def _begins_with_number(values: Collection[Any]) -> bool:
    return isinstance(next(iter(values)), int | float)
