"""Works through the items of one caller's request: fills them, sends them, repeats what may be.

Source: TransportBulkAction, ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from proxy.ground.errors import (
    ProxyError,
    StatusError,
    Unauthenticated,
    UpstreamBroken,
    UpstreamError,
)
from proxy.ground.frames import forget_frames
from proxy.limits.deadline import Deadline
from proxy.limits.memory import passing
from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, entries_of, object_of
from proxy.semantic.bulk import Item, Window, prepare_all, rendered
from proxy.semantic.counting import count_failures
from proxy.semantic.embedding import Filler
from proxy.semantic.exchange import Exchange
from proxy.semantic.filling import Chunkers
from proxy.semantic.flawless import FlawlessItems, flawless_items
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.ingest.running import run_pipelines
from proxy.semantic.models import writable_target
from proxy.semantic.modelsettings import ModelSettings
from proxy.semantic.parting import groups
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.present import consider_present, needs_present
from proxy.semantic.targets import WriteTarget, write_target

_EMBEDDING: Final = 60.0  # seconds that the texts of a window may take
_ENTRIES: Final = 256 * 1024  # bytes of entries that are read at once, as the upstream waits
_CONFLICTS: Final = 3  # after which an update is not tried again, beside those the caller allows
_UNMAPPED: Final = "the semantic fields of the index have changed while it was written to"
_NOT_OF_BULK: Final = ("filter_path", "pretty", "human", "format", "error_trace", "index")

Entry = dict[str, Any]  # an item's place in the answer
Refusals = dict[tuple[str, str, Any], ProxyError | None]  # by action, index and pipeline
_Key = tuple[str, str]  # a document, by index and identifier


@dataclass(frozen=True, slots=True)
class Refused:
    """The upstream refused a window as a whole, and took none of its items."""

    answer: UpstreamAnswer


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an index for as long as the registry knows nothing newer."""

    snapshot: object
    target: WriteTarget
    chunkers: Chunkers


class Writer:
    """Works through windows, one after the other; those after it may be filled meanwhile."""

    def __init__(
        self,
        exchange: Exchange,
        index: str | None,
        parameters: Mapping[str, str] | None = None,
        *,
        is_single: bool = False,
    ) -> None:
        """`index` is that of items which name none; `parameters` are those of `_bulk`.

        `is_single` says that the caller has sent one document, and no bulk.
        """
        self._exchange = exchange
        self._index = index
        self._is_single = is_single
        self._parameters = exchange.rest.parameters if parameters is None else parameters
        self._requested = self._parameters.get("pipeline")
        self._filler = Filler(exchange.parts.document_endpoints)
        self._known: dict[str, _Known] = {}
        self._names: dict[str, str] = {}  # of indices, by the names that items have deleted with
        # The documents of items that were given to be embedded, until they have been sent.
        self._unsent: dict[int, _Key] = {}  # by the item's identity
        self._sent = asyncio.Event()
        self.touched = False  # whether any item had anything for us to do

    # Filling

    async def fill(self, window: Window) -> None:
        """Put vectors where semantic fields need them; what fails is its item's error."""
        await self.prepare(window.items)
        await self.embed(window)

    async def prepare(self, items: Sequence[Item]) -> None:
        """See what items need: their indices, what pipelines make of them, their texts.

        Raises: Unauthenticated.
        """
        refusals: Refusals = {}
        for item in items:
            await self._find_fields(item, refusals)
        await self._ingest(items, refusals)
        concerned = [item for item in items if item.fields and item.is_sent]
        size = sum(len(item.source or b"") for item in concerned)
        await offload(size, AT_ONCE, lambda: prepare_all(concerned))
        for item in concerned:
            if item.filling is not None and (models := item.filling.new_models()):
                await self._make_room(item, models)

    async def _make_room(self, item: Item, models: Mapping[str, ModelSettings]) -> None:
        """Let an index have the vectors that an item brings along, of an endpoint nobody knows."""
        index = self._index_of(item)
        try:
            known = self._known[index]
            if any(known.target.fields[path].model is None for path in models):
                known = self._known[index] = await self._look_up(index, models)
        except ProxyError as error:
            forget_frames(error)
            item.failure = error
            return
        item.fields, item.chunkers = known.target.fields, known.chunkers
        item.prepare()

    async def _ingest(self, items: Sequence[Item], refusals: Refusals) -> None:
        """Run pipelines, after which items may go elsewhere than before."""
        known = [
            (index, self._known[index].target, item)
            for item in items
            if (index := self._index_of(item)) in self._known and item.is_sent
        ]
        with _failing([item for _, _, item in known]):
            for moved in await run_pipelines(self._exchange, known, self._requested):
                await self._find_fields(moved, refusals)

    async def _find_fields(self, item: Item, refusals: Refusals) -> None:
        """What the fields of an item's index are; its caller has to be allowed to write there."""
        index = self._index_of(item)
        if not index:
            return
        if item.action == "delete":
            await self._find_name(index)
            return
        try:
            key = (item.action, index, item.meta.get("pipeline") or self._requested)
            if key not in refusals:
                refusals[key] = await self._refusal(*key)
            if (refusal := refusals[key]) is not None:
                raise refusal
            known = self._known.get(index)
            if known is None or known.snapshot is not self._exchange.parts.registry.snapshot:
                known = self._known[index] = await self._look_up(index)
        except Unauthenticated:
            raise
        except ProxyError as error:
            forget_frames(error)
            item.failure = error
            return
        item.fields, item.chunkers = known.target.fields, known.chunkers
        item.concrete = known.target.index

    async def _find_name(self, index: str) -> None:
        """Which index a name stands for, where nothing else has to be known of it."""
        if index in self._known or index in self._names:
            return
        try:
            target = await write_target(self._exchange.parts.registry, index)
        except ProxyError as error:
            forget_frames(error)  # the upstream says what is wrong with it
        else:
            self._names[index] = target.index or index

    async def _refusal(self, action: str, index: str, pipeline: Any) -> ProxyError | None:
        """Why the caller may not write there: asked before anything is embedded or mapped."""
        registry = self._exchange.parts.registry
        target = await write_target(registry, index)
        ours = registry.snapshot.pipelines
        # What an update puts in for a document that is missing goes through the index's own, too.
        if not (target.concerns(pipeline, ours) or target.concerns(None, ours)):
            return None
        return await self._exchange.parts.guard.refusal(
            self._exchange.request, action, target, is_single=self._is_single
        )

    async def _look_up(
        self, index: str, models: Mapping[str, ModelSettings] | None = None
    ) -> _Known:
        target = await writable_target(self._exchange, index, models)
        chunkers = await self._filler.chunkers(target.fields)
        return _Known(self._exchange.parts.registry.snapshot, target, chunkers)

    def _index_of(self, item: Item) -> str:
        return item.index or self._index or ""

    async def embed(self, window: Window) -> None:
        """Put in the vectors of items that were prepared, and write what is sent for them."""
        items = window.items
        reading = [item for item in items if needs_present(item)]
        if reading:
            await self._until_sent({self.key_of(item) for item in reading})
        self._unsent |= {id(item): self.key_of(item) for item in items if item.id is not None}
        window.pieces = await self._embed(items, reading)

    async def _until_sent(self, keys: set[_Key]) -> None:
        """Wait for what is about to change what is there."""
        while not keys.isdisjoint(self._unsent.values()):
            self._sent.clear()
            await self._sent.wait()

    async def _embed(self, items: Sequence[Item], reading: Sequence[Item]) -> list[bytes]:
        """What is sent upstream for those of the items that are, in pieces."""
        if reading:
            located = [(self._concrete(item), item) for item in reading]
            with _failing(reading):
                await consider_present(self._exchange, located)
        inserting = [item for item in items if item.inserts and item.is_filled]
        if inserting:
            with _failing(inserting):
                await self._exchange.parts.registry.look()  # as updates cannot be marked
        fillings = [one for item in items if item.error is None for one in item.fillings()]
        with passing():  # of the provider's answers nothing but the vectors is kept
            await self._filler.fill(fillings, Deadline.after(_EMBEDDING))
        sent = [item for item in items if item.is_sent]
        pieces: list[bytes] = []
        for group in groups(Window(sent)):
            if pieces:
                await asyncio.sleep(0)
            pieces.append(await offload(group.size(), AT_ONCE, partial(rendered, group.items)))
        return pieces

    def _concrete(self, item: Item) -> str:
        index = self._index_of(item)
        known = self._known.get(index)
        if known is None:
            return self._names.get(index, index)
        return known.target.index or index

    def key_of(self, item: Item) -> _Key:
        """The document that an item is about, whatever name of its index it uses."""
        return self._concrete(item), item.id or ""

    # Sending

    async def send(self, window: Window, *, is_last: bool) -> list[Entry] | Refused:
        """The answers to all items of a filled window. Raises: UpstreamError."""
        found = await self.send_unread(window, is_last=is_last)
        return found.entries() if isinstance(found, FlawlessItems) else found

    async def send_unread(
        self, window: Window, *, is_last: bool
    ) -> list[Entry] | FlawlessItems | Refused:
        """As `send`; what need not be read is not, as the next window waits meanwhile."""
        try:
            answer = await self._ask(window, refreshes=is_last)
            if isinstance(answer, Refused):
                return answer
            if answer is not None:
                flawless = flawless_items(answer.body, len(window.items))  # where all were sent
                if flawless is not None:
                    return flawless
            sent = window.sent()
            entries = await _entries(answer, len(sent))
            await self._repeat_all(sent, entries, refreshes=is_last)
            for item, entry in zip(sent, entries, strict=True):
                item.answer = shown(entry)  # also of one that could not be sent once more
        finally:
            if self._unsent:
                for item in window.items:
                    self._unsent.pop(id(item), None)
                self._sent.set()
        return window.answers((), self._index or "")

    async def _repeat_all(
        self, sent: Sequence[Item], entries: list[Entry], *, refreshes: bool
    ) -> None:
        """Send again what may be sent again, and put its answers in the places of the first."""
        tries = 0
        while places := [
            place for place, item in enumerate(sent) if _repeats(item, entries[place], tries)
        ]:
            tries += 1
            items = [sent[place] for place in places]
            try:
                repeated = await self._repeat(items, refreshes=refreshes)
            except (UpstreamError, Unauthenticated):
                return  # what it has answered before still holds
            for place, entry in zip(places, repeated, strict=True):
                entries[place] = entry

    async def _repeat(self, items: list[Item], *, refreshes: bool) -> list[Entry]:
        """The answers to items that are filled and sent once more, as what they rely on changed."""
        registry = self._exchange.parts.registry
        await registry.look()
        for item in items:
            self._known.pop(self._index_of(item), None)
            item.forget()
        await self.prepare(items)
        window = Window(items)
        reading = [item for item in items if needs_present(item)]
        window.pieces = await self._embed(items, reading)
        answer = await self._ask(window, refreshes=refreshes)
        if isinstance(answer, Refused):
            entries = self.refusals(window.sent(), answer.answer)
        else:
            entries = await _entries(answer, len(window.sent()))
        return window.answers(entries, self._index or "")

    async def _ask(self, window: Window, *, refreshes: bool) -> UpstreamAnswer | Refused | None:
        """The upstream's answer to what is sent of a window; None where nothing is."""
        if not any(window.pieces):
            return None
        target = self.target(refreshes=refreshes)
        answer = await self._exchange.parts.upstream.ask_as_caller(
            self._exchange.request, "POST", target, window.pieces
        )
        window.pieces = []  # they may be made anew from the sources
        return Refused(answer) if answer.status >= 300 else answer

    def target(self, *, refreshes: bool) -> str:
        """That of the upstream's `_bulk`."""
        left_out = _NOT_OF_BULK if refreshes else (*_NOT_OF_BULK, "refresh")
        kept = {name: text for name, text in self._parameters.items() if name not in left_out}
        path = "/_bulk" if self._index is None else f"/{quote(self._index, safe='')}/_bulk"
        return path + (f"?{urlencode(kept)}" if kept else "")

    def refusals(self, items: Iterable[Item], answer: UpstreamAnswer) -> list[Entry]:
        """The answers to items that the upstream has refused together."""
        try:
            error = hide_in_error(object_of(answer)["error"])
        except (UpstreamBroken, KeyError):
            error = StatusError(answer.status, "the upstream gave no reason").render()
        if isinstance(error, dict):
            error.pop("root_cause", None)
        return [item.refused(self._index or "", answer.status, error) for item in items]

    def count(self, window: Window, entries: Sequence[Entry] | FlawlessItems) -> None:
        """Take note of what became of the items of a window, for the figures."""
        self.touched = self.touched or any(
            item.is_filled or item.is_ingested or item.error is not None for item in window.items
        )
        if not isinstance(entries, FlawlessItems):
            count_failures(self._exchange.parts.metrics, window.items, entries)

    def lost(self, window: Window, error: ProxyError) -> list[Entry]:
        """The answers to the items of a window that the upstream has not answered."""
        sent = [item.failed(self._index or "", error) for item in window.sent()]
        return window.answers(sent, self._index or "")


async def _entries(answer: UpstreamAnswer | None, count: int) -> list[Entry]:
    """What the upstream has answered to each of so many items. Raises: UpstreamBroken."""
    if answer is None:
        return []
    return await offload(len(answer.body), _ENTRIES, lambda: entries_of(answer, count))


@contextmanager
def _failing(items: Iterable[Item]) -> Iterator[None]:
    """What fails within is the error of these items."""
    try:
        yield
    except ProxyError as error:
        forget_frames(error)
        for item in items:
            item.failure = item.failure or error


def _repeats(item: Item, entry: Entry, tries: int) -> bool:
    """Whether an item that was answered so is sent again, after `tries` repetitions."""
    (answer,) = entry.values()
    error = answer.get("error")
    if error is None:
        return False
    if layout.MISSING in str(error):
        return tries == 0
    conflicts = (404, 409) if item.inserts else (409,)  # what was there may be gone
    return (
        item.guard is not None
        and answer["status"] in conflicts
        and tries < _CONFLICTS + item.retries
    )


def shown(entry: Entry) -> Entry:
    """An item's answer without anything of ours."""
    ((action, answer),) = entry.items()
    if "error" in answer:
        return {action: {**answer, "error": _shown_error(answer["error"])}}
    got = answer.get("get")
    if isinstance(got, dict) and isinstance(source := got.get("_source"), dict):
        source.pop(layout.CONTAINER, None)
    return entry


def _shown_error(error: Any) -> Any:
    if layout.MISSING in str(error):
        return StatusError(400, _UNMAPPED).render()
    return hide_in_error(error)
