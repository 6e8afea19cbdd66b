"""Single values as Elasticsearch reads and prints them: booleans, times, suggestions for names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from proxy.errors import Cause, IllegalArgument

Json = dict[str, Any]
MAX_INT: Final = 2**31 - 1
MAX_LONG: Final = 2**63 - 1


DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


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
    if count is None or not -MAX_LONG - 1 <= count <= MAX_LONG:
        fraction = DECIMAL.fullmatch(number) is not None
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
