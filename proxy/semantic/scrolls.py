"""Ids of scrolls that say what further pages show, so that any process can serve these.

What Elasticsearch's own highlighter would know from the search stands behind its id. It names
fields and vectors alone: a forged one asks for nothing that a search could not ask for.
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

_MARK: Final = ".h1."  # no id of Elasticsearch's has points
_LONGEST: Final = 16 * 1024 * 1024  # bytes of what is packed
Json = dict[str, Any]
ByPath = Mapping[str, Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a search asked for that further pages have to know."""

    where: Where
    shown: Json

    def restored(self, by_path: ByPath) -> Shown:
        """What hits show, with the semantic fields as they are now; nothing if it was forged."""
        try:
            return _restored(self.shown, by_path)
        except (AttributeError, KeyError, TypeError, ValueError):
            return Shown()


def with_asked(scroll_id: str, shown: Shown, where: Where) -> str:
    """An id that says what hits show, too."""
    asked = {"e": where.expression, "p": dict(where.parameters), "s": _dumped(shown)}
    return scroll_id + _MARK + urlsafe_b64encode(zlib.compress(orjson.dumps(asked))).decode()


def again(scroll_id: str, before: str) -> str:
    """The upstream's next id with what `before` says."""
    _, mark, packed = before.partition(_MARK)
    return scroll_id + mark + packed


def own(scroll_id: str) -> str:
    """The upstream's part of an id, or of several with commas between."""
    return ",".join(one.partition(_MARK)[0] for one in scroll_id.split(","))


def says_more(text: str) -> bool:
    """Whether any of the ids in a text is not the upstream's alone."""
    return _MARK in text


def asked_by(scroll_id: str) -> Asked | None:
    """What an id says; None for one of the upstream's alone, or one that is none."""
    packed = scroll_id.partition(_MARK)[2]
    try:
        data = zlib.decompressobj().decompress(urlsafe_b64decode(packed), _LONGEST)
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
        "u": list(shown.unnamed),
        "w": [[one.name, one.in_buckets, _dumped(one.shown)] for one in shown.within],
    }


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
        unnamed={name: by_path.get(name, {}) for name in shown["u"]},
        within=[
            Within(name=name, in_buckets=bool(in_buckets), shown=_restored(one, by_path))
            for name, in_buckets, one in shown["w"]
        ],
    )


def _read(sought: Sequence[Any]) -> Sought:
    packed, chunks, indices = sought
    return Sought(
        vector=_unpacked(packed),
        chunks=str(chunks),
        indices=None if indices is None else frozenset(indices),
    )


def _unpacked(packed: Any) -> Embedding | None:
    match packed:
        case None:
            return None
        case dict():
            return {str(token): float(weight) for token, weight in packed.items()}
    return array("f", urlsafe_b64decode(packed)).tolist()
