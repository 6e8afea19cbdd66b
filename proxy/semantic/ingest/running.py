"""Runs the pipelines of documents before their texts are embedded, as far as the proxy has to.

Inference processors at the beginning of a pipeline change the document that goes upstream, which
runs the rest. Where some stand at the end, or in the final pipeline, or where semantic fields are
filled, the upstream simulates what comes before, and the document is written without that pipeline.
A final pipeline cannot be left out: what it will make of a document is looked at only.
Source: IngestService, TransportAbstractBulkAction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.semantic.bulk import Item
from proxy.semantic.documents import (
    ReadDocument,
    raw_field,
    read_document,
    with_added,
    with_replaced,
    without_field,
)
from proxy.semantic.exchange import Exchange
from proxy.semantic.ingest.processors import Passage, Runner
from proxy.semantic.ingest.simulating import Draft, simulate
from proxy.semantic.pipelines import NONE, Pipeline
from proxy.semantic.targets import Pipelines, WriteTarget, write_target
from proxy.xcontent.writing import dump_json

_FINAL: Final = (
    "pipeline [{id}] cannot be the final pipeline of an index: its last processors are "
    "[inference] processors with an endpoint of the proxy"
)
_AS_UPSERT: Final = (
    "[doc_as_upsert] is not possible where the proxy has to run the pipeline [{main}] and the "
    "index has a final pipeline, too: give the document as [upsert]"
)
_NO_ID: Final = "auto-generated"
_DROPPED: Final = {
    "_version": -3,
    "result": "noop",
    "_shards": {"total": 0, "successful": 0, "failed": 0},
    "status": 200,
}
_DOC, _UPSERT, _DOC_AS_UPSERT = "doc", "upsert", "doc_as_upsert"


async def run_pipelines(
    exchange: Exchange, items: Iterable[tuple[str, WriteTarget, Item]], requested: Any
) -> list[Item]:
    """Run what items ask for, or else `requested`, or what their index asks for.

    Items have the index that they name, or that of their request, and what it stands for. What
    fails is the error of its item. Returns those that go elsewhere now. Raises: UpstreamError.
    """
    ours = await exchange.parts.registry.pipelines()
    entries = []
    for index, target, item in items:
        if not (ours or target.fields):
            continue
        try:
            entry = _entry(ours, index, target, item, requested)
        except ProxyError as error:
            item.failure = error
            continue
        if entry is not None:
            entries.append(entry)
    await _Run(exchange, ours).work(entries)
    return [entry.item for entry in entries if entry.finish()]


@dataclass(slots=True, kw_only=True)
class _Entry:
    """An item with the pipelines that its document still has to go through."""

    item: Item
    target: WriteTarget
    pipelines: Pipelines
    draft: Draft
    index: str
    part: str | None = None  # the field of an update that has the document
    main: Passage | None = None  # its way through its main pipeline, where that is ours
    runs_here: bool = False  # its main pipeline, to the end
    foreseen: bytes | None = None  # what its final pipeline will make of it
    fails_later: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its main pipeline has, before its end."""
        return self.main is not None and self.main.has_ended

    @property
    def has_moved(self) -> bool:
        return self.part is None and self.draft.meta["_index"] != self.index

    def finish(self) -> bool:
        """Make the item what has come of its document; whether it goes elsewhere now."""
        item = self.item
        item.is_ingested = True
        if not self.draft.is_open:
            item.answer = {item.action: self._ended()}
            return False
        if self.fails_later:
            item.fields = {}
        assert item.source is not None
        source = item.source
        item.source = self._source(source, self.draft.data)
        if self.foreseen is not None:
            item.seen = self._source(source, self.foreseen)
        self._take_meta()
        return self.has_moved

    def _ended(self) -> dict[str, Any]:
        """The answer to a document that goes no further. Source: BulkRequestModifier."""
        head = {"_index": self.index, "_id": self.item.id or _NO_ID}
        error = self.draft.error
        if error is None:
            return {**head, **_DROPPED}
        return {**head, "status": error.status, "error": error.render()}

    def _take_meta(self) -> None:
        made = dict(self.item.meta if self.part is not None else self.draft.meta)
        if self.runs_here:
            made["pipeline"] = NONE
        if "_index" not in self.item.meta and not self.has_moved:
            made.pop("_index", None)
        if made != self.item.meta:
            self.item.meta = made
            self.item.action_line = dump_json({self.item.action: made})

    def _source(self, source: bytes, data: bytes) -> bytes:
        """The item's source with that document in it."""
        if self.part is None:
            return data
        source = with_replaced(source, self.part, data)
        if self.part == _DOC and self.runs_here:
            # Given as `upsert`, it goes through no pipeline but the one that the action line names.
            for name in (_UPSERT, _DOC_AS_UPSERT):
                source = _without_field(source, name)
            document = read_document(source)
            assert document is not None
            source = with_added(source, data, document.place, _UPSERT)
        return source


def _entry(
    ours: Mapping[str, Pipeline], index: str, target: WriteTarget, item: Item, requested: Any
) -> _Entry | None:
    """An item whose pipelines the proxy has a part in; None for any other."""
    if item.source is None or item.is_ingested or not item.is_sent:
        return None
    named = item.meta.get("pipeline") or requested
    pipelines = target.pipelines.for_request(named)
    part: str | None = None
    document: ReadDocument | None = None
    if item.action == "update":
        document = read_document(item.source)
        part = None if document is None else _inserted(document.content)
        if part is None:
            return None
        if part == _DOC:
            pipelines = target.pipelines  # that of a request is for what stands in `upsert`
    if pipelines == Pipelines() or not (target.fields or pipelines.concern(ours)):
        return None
    document = document or read_document(item.source)
    if document is None:
        return None  # the upstream says what is wrong with it
    data = raw_field(item.source, part) if part else item.source[: document.place.end]
    draft = Draft(data=data, meta={"_index": index, **item.meta})
    entry = _Entry(
        item=item, target=target, pipelines=pipelines, draft=draft, index=index, part=part
    )
    main = ours.get(pipelines.main) if pipelines.main is not None else None
    if main is not None:
        entry.main = Passage(draft, main)
    return entry


def _inserted(update: Mapping[str, Any]) -> str | None:
    """The field of an update whose document may become a new one, which pipelines are for."""
    part = _DOC if update.get(_DOC_AS_UPSERT) is True else _UPSERT
    return part if isinstance(update.get(part), dict) else None


def _without_field(data: bytes, name: str) -> bytes:
    document = read_document(data)
    assert document is not None
    return without_field(data, name)[0] if name in document.content else data


@dataclass(slots=True)
class _Run:
    """Takes entries of one caller's request through their pipelines."""

    exchange: Exchange
    ours: Mapping[str, Pipeline]
    runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = Runner(self.exchange)

    async def work(self, entries: Sequence[_Entry]) -> None:
        await self._main(entries)
        await self._final([entry for entry in entries if entry.pipelines.final is not None])

    async def _main(self, entries: Sequence[_Entry]) -> None:
        """Run the pipelines of requests, or the default ones."""
        await self.runner.before([entry.main for entry in entries if entry.main is not None])
        here = [entry for entry in entries if entry.draft.is_open and self._is_run_here(entry)]
        by_pipeline: dict[str, list[Draft]] = {}
        for entry in here:
            if not entry.has_ended:
                by_pipeline.setdefault(str(entry.pipelines.main), []).append(entry.draft)
        for name, drafts in by_pipeline.items():
            await simulate(self.exchange, name, drafts)
        await self.runner.after([entry.main for entry in here if entry.main is not None])
        for entry in here:
            await self._leave(entry)

    def _is_run_here(self, entry: _Entry) -> bool:
        """Whether the main pipeline is run to its end before the document goes upstream."""
        if entry.pipelines.main is None:
            return False
        is_needed = bool(entry.target.fields) or entry.pipelines.final in self.ours
        return is_needed or (
            entry.main is not None and (entry.has_ended or bool(entry.main.pipeline.after))
        )

    async def _leave(self, entry: _Entry) -> None:
        """The main pipeline has been run; the final one is that of where the document goes now."""
        entry.runs_here = True
        if entry.part == _DOC and entry.pipelines.final is not None:
            entry.draft.error = IllegalArgument(_AS_UPSERT.format(main=entry.pipelines.main))
        if entry.draft.is_open and entry.has_moved:
            index = str(entry.draft.meta["_index"])
            entry.target = await write_target(self.exchange.parts.registry, index)
            entry.draft.error = await self._refusal(entry)
        entry.pipelines = Pipelines(final=entry.target.pipelines.final)

    async def _refusal(self, entry: _Entry) -> ProxyError | None:
        """Why the caller may not write where a document goes now, if anything is spent on that."""
        if not entry.target.concerns(None, self.ours):
            return None
        return await self.exchange.parts.guard.refusal(
            self.exchange.request, entry.item.action, entry.target, is_single=False
        )

    async def _final(self, entries: Sequence[_Entry]) -> None:
        """Run what is ours of final pipelines, and foresee what the rest of them will do."""
        passages = []
        for entry in entries:
            pipeline = self.ours.get(str(entry.pipelines.final))
            if pipeline is not None and pipeline.after:
                entry.draft.error = entry.draft.error or IllegalArgument(
                    _FINAL.format(id=pipeline.id)
                )
            elif pipeline is not None:
                # The upstream runs the rest, whatever has happened before.
                passages.append(Passage(entry.draft, replace(pipeline, on_failure=())))
        await self.runner.before(passages)
        by_pipeline: dict[str, list[tuple[_Entry, Draft]]] = {}
        for entry in entries:
            if entry.draft.is_open and entry.target.fields:
                draft = replace(entry.draft, meta=dict(entry.draft.meta))
                by_pipeline.setdefault(str(entry.pipelines.final), []).append((entry, draft))
        for name, foreseen in by_pipeline.items():
            await simulate(self.exchange, name, [draft for _, draft in foreseen])
            for entry, draft in foreseen:
                entry.fails_later = not draft.is_open  # or it will be dropped
                entry.foreseen = draft.data if draft.is_open else None
