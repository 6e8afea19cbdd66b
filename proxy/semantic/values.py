"""The texts of a document that a semantic field embeds.

Source: SemanticTextUtils, XContentMapValues.extractValue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import StatusError
from proxy.xcontent.javatext import java_scalar


class _Null:
    """A null that stands in the document, other than a value that is not there."""


_NULL: Final = _Null()
_JAVA_TYPES: Final[Mapping[type, str]] = {dict: "HashMap", list: "ArrayList"}
# Of an array, Elasticsearch tells its own kind, whatever of its values is none of these.
_REFUSAL: Final = (
    "Invalid format for field [{field}], expected [String|Number|Boolean] got [{kind}]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What one source field holds: its texts in order, and whether it is there at all."""

    source: str
    texts: tuple[str, ...]
    is_present: bool  # also where it is null, which clears it in an update


def texts_of(document: Mapping[str, Any], source: str, field: str) -> Texts:
    """The texts of a source of `field`; numbers and booleans as Java prints them.

    Raises: StatusError 400 for values that are neither.
    """
    found = _found(document, source)
    if found is None or found is _NULL:
        return Texts(source=source, texts=(), is_present=found is _NULL)
    values = found if isinstance(found, list) else [found]
    texts = tuple(text for value in values if (text := _text(value)) is not None)
    if len(texts) < len(values):
        kind = _JAVA_TYPES.get(type(found), type(found).__name__)
        raise StatusError(400, _REFUSAL.format(field=field, kind=kind))
    return Texts(source=source, texts=texts, is_present=True)


def texts_there(document: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """The texts of a source in a document that is stored, whatever else it holds.

    What was written past the layer, or put together by updates, need not be as it would be taken.
    """
    return tuple(_all_texts(_found(document, source)))


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _all_texts(one)
    elif (text := _text(value)) is not None:
        yield text


def holds_numbers(document: Mapping[str, Any], source: str) -> bool:
    """Whether a source has numbers among its values, which must be read as Java reads them."""
    found = _found(document, source)
    values = found if isinstance(found, list) else [found]
    return any(type(value) in (int, float) for value in values)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return java_scalar(value) if isinstance(value, int | float) else None


def _found(document: Mapping[str, Any], source: str) -> Any:
    """What a source holds, as `_extracted` has it."""
    if "." not in source and isinstance(text := document.get(source), str):
        return text
    return _extracted(document, source.split("."), 0)


def _extracted(value: Any, names: Sequence[str], place: int) -> Any:
    """What stands at a path, `_NULL` for a null; None where nothing stands.

    Objects in arrays give an array of what they have; of names with dots, every spelling is found.
    """
    if isinstance(value, list):
        listed = [_extracted(one, names, place) for one in value]
        return [one for one in listed if one is not None]
    if place == len(names):
        return _NULL if value is None else value
    if not isinstance(value, Mapping):
        return None
    found = []
    for end in range(place + 1, len(names) + 1):
        name = ".".join(names[place:end])
        if name in value:
            one = value[name]
            one = _NULL if one is None else _extracted(one, names, end)
            if one is not None:
                found.append(one)
    return found[0] if len(found) == 1 else found or None
