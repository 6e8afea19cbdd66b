"""The texts of a document that a semantic field embeds.

Source: SemanticTextUtils, XContentMapValues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import StatusError
from proxy.xcontent.javatext import java_scalar

_JAVA_TYPES: Final = {dict: "HashMap", list: "ArrayList", type(None): "Object"}


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
    found = list(_values(document, source.split(".")))
    texts: list[str] = []
    inside = len(found) > 1
    for value in found:
        if value is None and not inside:
            continue
        for one in value if isinstance(value, list) and not inside else (value,):
            if not isinstance(one, str | int | float):
                kind = _JAVA_TYPES.get(type(one), type(one).__name__)
                raise StatusError(
                    400,
                    f"Invalid format for field [{field}], expected [String|Number|Boolean] got "
                    f"[{kind}]",
                )
            texts.append(one if isinstance(one, str) else java_scalar(one))
    return Texts(source=source, texts=tuple(texts), is_present=bool(found))


def _values(value: Any, names: Sequence[str]) -> Iterator[Any]:
    """What stands at a path, through objects in arrays; names with dots are found, too."""
    if not names:
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _values(one, names)
    elif isinstance(value, Mapping):
        for length in range(1, len(names) + 1):
            name = ".".join(names[:length]) if length > 1 else names[0]
            if name in value:
                yield from _values(value[name], names[length:])
