"""`_bulk`: items one by one, in windows, with the vectors of their documents put in.

Source: BulkRequestParser, ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.errors import ProxyError, StatusError
from proxy.semantic.documents import check_own, read_document, with_added, with_added_below
from proxy.semantic.filling import Chunkers, Filling, prepare
from proxy.semantic.registry import Fields

ACTIONS: Final = ("index", "create", "update", "delete")


class Unreadable(Exception):
    """A body that is no `_bulk`: the upstream says what is wrong with it."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One action, and its document if it has one."""

    action: str
    meta: dict[str, Any]
    action_line: bytes
    source: bytes | None
    fields: Fields = field(default_factory=dict)
    chunkers: Chunkers = field(default_factory=dict)
    filling: Filling | None = None  # None where no semantic field is concerned
    is_processed: bool = False  # whether its pipelines have changed it

    @property
    def index(self) -> str | None:
        """The index that it names itself."""
        name = self.meta.get("_index")
        return name if isinstance(name, str) else None

    @property
    def error(self) -> ProxyError | None:
        return None if self.filling is None else self.filling.error

    def prepare(self) -> None:
        """See what its document needs, once its fields are known."""
        if not self.fields or self.source is None:
            return
        document = read_document(self.source)
        if document is None:
            return  # the upstream says what is wrong with it
        self.filling = self._prepared(document)

    def _prepared(self, document: dict[str, Any]) -> Filling | None:
        try:
            check_own(document)
            if self.action != "update":
                return prepare(document, self.fields, self.chunkers)
            if "script" in document:
                raise StatusError(
                    400,
                    "Cannot apply update with a script on indices that contain [semantic_text] "
                    "field(s)",
                )
            partial = document.get("doc")
            if not isinstance(partial, dict):
                return None
            check_own(partial)
            return prepare(partial, self.fields, self.chunkers)
        except ProxyError as error:
            return Filling(error=error)

    def lines(self) -> bytes:
        """What is sent upstream for it."""
        if self.source is None:
            return self.action_line + b"\n"
        action, source = self.action_line, self.source
        added = b"" if self.filling is None else self.filling.rendered()
        if added and self.filling is not None:
            if self.action == "update":
                source = with_added_below(source, "doc", added)
            else:
                source = with_added(source, added)
                action = self._marked(self.filling)
        return b"%b\n%b\n" % (action, source)

    def _marked(self, filling: Filling) -> bytes:
        markers = {**self.meta.get("dynamic_templates", {}), **filling.markers()}
        return orjson.dumps({self.action: {**self.meta, "dynamic_templates": markers}})

    def failed(self, index: str) -> dict[str, Any]:
        """Its place in the answer, if it has failed here."""
        assert self.error is not None
        return {
            self.action: {
                "_index": self.index or index,
                "_id": self.meta.get("_id"),
                "status": self.error.status,
                "error": self.error.render(),
            }
        }


def whole_items(data: bytes) -> tuple[list[Item], bytes]:
    """The items that end in `data`, and what is left of it. Raises: Unreadable."""
    lines = data.split(b"\n")
    rest = lines.pop()
    items, place = [], 0
    while place < len(lines):
        line = lines[place]
        if not line.strip():
            place += 1
            continue
        action, meta = read_action(line)
        if action == "delete":
            items.append(Item(action=action, meta=meta, action_line=line, source=None))
            place += 1
        elif place + 1 < len(lines):
            source = lines[place + 1]
            items.append(Item(action=action, meta=meta, action_line=line, source=source))
            place += 2
        else:
            break
    return items, b"\n".join([*lines[place:], rest])


def read_action(line: bytes) -> tuple[str, dict[str, Any]]:
    """An action line's action and what it says of it. Raises: Unreadable."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Unreadable from None
    match document:
        case {**entries} if len(entries) == 1:
            (action, meta) = next(iter(entries.items()))
            if action in ACTIONS and isinstance(meta, dict):
                return action, meta
    raise Unreadable


@dataclass(slots=True)
class Window:
    """Items that are worked through together."""

    items: list[Item]

    def sent(self) -> list[Item]:
        """Those that go upstream."""
        return [item for item in self.items if item.error is None]

    def body(self) -> bytes:
        return b"".join(item.lines() for item in self.sent())

    def answers(self, upstream: Sequence[Mapping[str, Any]], index: str) -> list[Any]:
        """All items' answers in order; `upstream` has those of the items that were sent."""
        left = iter(upstream)
        return [item.failed(index) if item.error is not None else next(left) for item in self.items]


def prepare_all(items: Iterable[Item]) -> None:
    """See what the documents of these items need."""
    for item in items:
        item.prepare()


async def windows(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[Window, None]:
    """The items of a body, in windows of about `size` bytes. Raises: Unreadable."""
    parts: list[bytes] = []
    length = 0
    async for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            items, rest = whole_items(b"".join(parts))
            parts, length = [rest], len(rest)
            if items:
                yield Window(items)
    items, rest = whole_items(b"".join(parts))
    if rest.strip():
        raise Unreadable
    if items:
        yield Window(items)
