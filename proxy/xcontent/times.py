"""Time values as Elasticsearch reads and prints them. Source: TimeValue."""

from __future__ import annotations

import re
from typing import Final

from proxy.ground.errors import Cause, IllegalArgument
from proxy.xcontent.values import MAX_LONG, is_decimal

_UNITS: Final = {  # in seconds; a unit stands before those that it ends in
    "nanos": 1e-9,
    "micros": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def parse_time(text: str, setting: str) -> float:
    """The seconds of a time value such as `30s`; -1 stands for no limit.

    Raises: IllegalArgument, which names the `setting`. Source: TimeValue.parseTimeValue.
    """
    normalized = text.lower().strip()
    for unit, seconds in _UNITS.items():
        # Only `m` must be in lower case and without blanks behind it: `M` means months.
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
        fraction = is_decimal(number)
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
    """A duration in its largest unit: `1.5m`, `50ms`. Source: TimeValue.toHumanReadableString."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "micros"):
        if seconds >= _UNITS[unit]:
            tenths = int(round(seconds / _UNITS[unit], 6) * 10)  # cut off, not rounded
            return f"{tenths / 10:.1f}".removesuffix(".0") + unit
    return f"{round(seconds * 1e9)}nanos"
