"""Answers of a `_bulk` in which no item has failed: passed on as the upstream has written them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.semantic.answerjson import clear_entries

_HEAD: Final = re.compile(
    rb'\{(?:"(?:took|ingest_took)":\d{1,19},){0,2}"errors":false,'
    rb'(?:"(?:took|ingest_took)":\d{1,19},){0,2}"items":\[(?=\{)'
)
_TAIL: Final = b"]}"
_OF_ITEM: Final = b'"status":'  # one for each, unless any tells of copies that have failed
_TO_BE_READ: Final = (b'"get":', b'"failures":')  # documents, and such copies


@dataclass(frozen=True, slots=True)
class FlawlessItems:
    """The items of such an answer, none of which has anything of ours in it."""

    json: bytes  # with commas between them
    count: int

    def entries(self) -> list[dict[str, Any]]:
        """The same, read. Raises: UpstreamBroken for what is said of no item."""
        return clear_entries(orjson.loads(b"[%b]" % self.json))


def flawless_items(body: bytes, count: int) -> FlawlessItems | None:
    """The items of an answer to so many; None for one that has to be read to know them."""
    head = _HEAD.match(body)
    if head is None or not body.endswith(_TAIL) or any(one in body for one in _TO_BE_READ):
        return None
    if body.count(_OF_ITEM) != count:
        return None
    return FlawlessItems(body[head.end() : -len(_TAIL)], count)
