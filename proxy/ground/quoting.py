"""How much an error says: texts that quote what somebody sent are cut to what helps.

An error is held until the caller has read it, so it must not be as large as what it is about.
"""

from __future__ import annotations

from typing import Any, Final

# Characters of a text. Elasticsearch's longest that quotes the beginning of a body has fewer.
MOST: Final = 1000
_LAST: Final = 300  # of these; a message quotes in its middle, and says at its end what is wrong
_VALUE: Final = 300  # characters of a value, wherever it is quoted


def shortened(text: str, most: int = MOST) -> str:
    """The text; of a long one the beginning and the end."""
    if len(text) <= most:
        return text
    first = most - _LAST
    return f"{text[:first]}…[{len(text) - most} characters left out]…{text[-_LAST:]}"


def quoted_part(text: str) -> str:
    """As much of a value as messages quote."""
    return text if len(text) <= _VALUE else text[:_VALUE] + "…"


def all_shortened(value: Any) -> Any:
    """A JSON value with all its texts shortened."""
    match value:
        case str():
            return shortened(value)
        case dict():
            return {key: all_shortened(inner) for key, inner in value.items()}
        case list():
            return [all_shortened(inner) for inner in value]
    return value
