"""Hits whose sources are to be written again: their bytes, and what else is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import UpstreamBroken

_NONE: Final = "upstream node answered a search without [hits]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document as a search has found it; `about` has all but its source."""

    about: dict[str, Any]
    source: bytes  # as it came

    @property
    def id(self) -> str:
        return str(self.about["_id"])

    @property
    def routing(self) -> str | None:
        found = self.about.get("_routing")
        return None if found is None else str(found)


def hits_with_sources(document: Mapping[str, Any], sources: Sequence[bytes]) -> list[Hit]:
    """The hits of a search's answer in order, both as of `with_sources`.

    Raises: UpstreamBroken for an answer without any, which nobody may take for the last one.
    """
    found, listed = [], _hits_in(document).get("hits")
    if not isinstance(listed, list) or not all(isinstance(about, dict) for about in listed):
        raise UpstreamBroken(_NONE)
    for about in listed:
        place = about.pop("_source", None)
        found.append(Hit(about=about, source=b"{}" if place is None else sources[place]))
    return found


def total_of(document: Mapping[str, Any]) -> int:
    """How many hits a search has in all; 0 where it does not count them.

    Raises: as `hits_with_sources`.
    """
    total = _hits_in(document).get("total")
    return int(total.get("value", 0)) if isinstance(total, Mapping) else 0


def _hits_in(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("hits")
    if not isinstance(found, Mapping):
        raise UpstreamBroken(_NONE)
    return found
