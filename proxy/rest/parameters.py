"""Query parameters: their values, and those that a route does not know. Source: BaseRestHandler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Final

from proxy.ground.errors import IllegalArgument
from proxy.xcontent.suggestions import did_you_mean
from proxy.xcontent.times import parse_time
from proxy.xcontent.values import parse_boolean

_OF_EVERY_ROUTE: Final = frozenset(("pretty", "human", "error_trace", "filter_path", "format"))
_DIGITS: Final = 19  # of 64 bits
_MOST_NAMED: Final = 20  # of unknown parameters, as looking for what was meant takes time


def whole_number(text: str) -> int | None:
    """The number that digits are; None for any other text, and for what no integer can hold."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def read_boolean(parameters: Mapping[str, str], name: str) -> bool:
    """Absent is false, present without a value is true. Raises: IllegalArgument."""
    value = parameters.get(name)
    return value == "" or (value is not None and parse_boolean(value))


def read_time(parameters: Mapping[str, str], name: str) -> float | None:
    """A time value in seconds. Raises: IllegalArgument."""
    value = parameters.get(name)
    return None if value is None else parse_time(value, name)


def refuse_unknown(parameters: Iterable[str], known: Iterable[str], path: str) -> None:
    """Raises: IllegalArgument naming each parameter that neither the route nor all routes know.

    `known` is what the route takes, `path` what the message says of the request.
    """
    known = set(known)
    unknown = set(parameters).difference(known, _OF_EVERY_ROUTE)
    if unknown:
        candidates = known - _OF_EVERY_ROUTE
        named = nsmallest(_MOST_NAMED, unknown)
        shown = [f"[{name}]{did_you_mean(name, candidates, ' -> ')}" for name in named]
        if more := len(unknown) - len(shown):
            shown.append(f"and [{more}] more")
        plural = "s" if len(unknown) > 1 else ""
        raise IllegalArgument(
            f"request [{path}] contains unrecognized parameter{plural}: {', '.join(shown)}"
        )
