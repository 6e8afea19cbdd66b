"""What a search asked for that its later answers have to know, packed so that it can be sent along.

It names fields and vectors alone: a forged one asks for nothing that a search could not ask for.
"""

from __future__ import annotations

import zlib
from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.semantic.highlights import Found, Highlight, Shown, Sought, Within
from proxy.semantic.shownhits import Where
from proxy.semantic.similarity import Embedding

_LONGEST: Final = 16 * 1024 * 1024  # bytes of what is packed
Json = dict[str, Any]
ByPath = Mapping[str, Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What hits are to show, and where they were looked for."""

    where: Where
    shown: Json

    @classmethod
    def of(cls, shown: Shown, where: Where) -> Asked:
        """What later answers of a search need to know, which may be nothing."""
        return cls(where=where, shown=_dumped(shown))

    def __bool__(self) -> bool:
        return any(self.shown.values())

    @property
    def names_fields(self) -> bool:
        """Whether it asks for anything of semantic fields by name, and not by patterns alone."""
        return _names_fields(self.shown)

    def packed(self) -> str:
        """As a text of letters, digits, `-`, `_` and `=`."""
        asked = {
            "e": self.where.lasting_expression(),
            "p": dict(self.where.parameters),
            "s": self.shown,
        }
        return urlsafe_b64encode(zlib.compress(orjson.dumps(asked))).decode()

    def restored(self, by_path: ByPath) -> Shown:
        """What hits show, with the semantic fields as they are now; nothing if it was forged."""
        try:
            return _restored(self.shown, by_path)
        except (AttributeError, KeyError, TypeError, ValueError):
            return Shown()


def unpacked(text: str) -> Asked | None:
    """What was packed; None for what was not."""
    try:
        data = zlib.decompressobj().decompress(urlsafe_b64decode(text), _LONGEST)
        match orjson.loads(data):
            case {"e": str() | None as expression, "p": dict() as parameters, "s": dict() as shown}:
                given = {str(name): str(value) for name, value in parameters.items()}
                where = Where(expression=expression, parameters=given)
                return Asked(where=where, shown=shown)
    except (zlib.error, ValueError):
        pass
    return None


def _dumped(shown: Shown) -> Json:
    highlights = [
        [one.name, one.number, one.by_score, _sought(one.sought)] for one in shown.highlights
    ]
    return {
        "h": highlights,
        "c": list(shown.chunks),
        "f": shown.formats,
        "u": list(shown.unnamed),
        "w": [[one.name, one.in_buckets, _dumped(one.shown)] for one in shown.within],
    }


def _names_fields(shown: Json) -> bool:
    return bool(shown["h"] or shown["c"] or shown["f"]) or any(
        _names_fields(one) for _, _, one in shown["w"]
    )


def _sought(found: Sequence[Sought]) -> list[Any]:
    return [
        [
            _packed(one.vector),
            one.chunks,
            None if one.indices is None else sorted(one.indices),
        ]
        for one in found
    ]


def _packed(vector: Embedding | None) -> Any:
    """A vector in short; weights of tokens, which are few, as they are."""
    if vector is None or isinstance(vector, Mapping):
        return vector
    return urlsafe_b64encode(array("f", vector).tobytes()).decode()


def _restored(shown: Json, by_path: ByPath) -> Shown:
    return Shown(
        highlights=[
            Highlight(
                name=str(name),
                found=by_path.get(name, {}),
                number=int(number),
                by_score=bool(by_score),
                sought=tuple(_read(one) for one in sought),
            )
            for name, number, by_score, sought in shown["h"]
        ],
        chunks={name: by_path.get(name, {}) for name in shown["c"]},
        formats={str(name): str(asked) for name, asked in shown["f"].items()},
        unnamed={name: by_path.get(name, {}) for name in shown["u"]},
        within=[
            Within(name=name, in_buckets=bool(in_buckets), shown=_restored(one, by_path))
            for name, in_buckets, one in shown["w"]
        ],
    )


def _read(sought: Sequence[Any]) -> Sought:
    packed, chunks, indices = sought
    return Sought(
        vector=_vector(packed),
        chunks=str(chunks),
        indices=None if indices is None else frozenset(indices),
    )


def _vector(packed: Any) -> Embedding | None:
    match packed:
        case None:
            return None
        case dict():
            return {str(token): float(weight) for token, weight in packed.items()}
    return array("f", urlsafe_b64decode(packed)).tolist()
