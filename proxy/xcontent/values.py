"""What values of bodies and parameters are made of: objects, booleans, Java's numbers."""

from __future__ import annotations

import re
from typing import Any, Final

from proxy.ground.errors import IllegalArgument

Json = dict[str, Any]  # an object
MAX_INT: Final = 2**31 - 1
MAX_LONG: Final = 2**63 - 1
MAX_DIGITS: Final = 1000  # of one number
# Each text matches in one way only, so that the time is linear for those that do not.
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def is_decimal(text: str) -> bool:
    """Whether a text is a decimal number, of MAX_DIGITS at most."""
    return len(text) <= MAX_DIGITS and _DECIMAL.fullmatch(text) is not None


def parse_boolean(text: str) -> bool:
    """Raises: IllegalArgument for anything but `true` and `false`. Source: Booleans."""
    if text not in ("true", "false"):
        raise IllegalArgument(
            f"Failed to parse value [{text}] as only [true] or [false] are allowed."
        )
    return text == "true"
