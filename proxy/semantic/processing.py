"""Runs the pipelines of documents that are written, as far as the proxy has to.

Processors at the beginning of a pipeline change the document that goes upstream, which runs the
rest. Where some stand at the end, or in the index's final pipeline, or where semantic fields are
filled, the upstream simulates what comes before, and the document is then written without that
pipeline.
Source: IngestService, TransportAbstractBulkAction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import IllegalArgument, ProxyError
from proxy.limits.deadline import Deadline
from proxy.semantic.bulk import Item
from proxy.semantic.documents import read_document
from proxy.semantic.exchange import Exchange
from proxy.semantic.filling import Filling
from proxy.semantic.inferring import Inferring, Job
from proxy.semantic.pipelineregistry import IndexPipelines
from proxy.semantic.pipelines import NONE, Pipeline, Processor
from proxy.semantic.ports import Endpoints, Upstream
from proxy.semantic.registry import Registry
from proxy.semantic.simulating import Draft, Outcome, recovery, simulate

_INFERRING: Final = 60.0  # seconds that one processor may take for the documents of a window
_INLINE: Final = "/_ingest/pipeline/_simulate"
_FINAL: Final = (
    "pipeline [{id}] cannot be the final pipeline of an index: its last processors are "
    "[inference] processors with an endpoint of the proxy"
)
_UPDATE: Final = (
    "pipeline [{id}] cannot run for an update that may insert its document: it has [inference] "
    "processors with an endpoint of the proxy"
)


@dataclass(slots=True, kw_only=True)
class Task(Job):
    """A document in one pipeline. `has_ended`: its `on_failure` took the place of the rest."""

    meta: dict[str, Any]  # of its action line
    pipeline: Pipeline
    has_ended: bool = False


Run = Callable[[Sequence[Task]], Awaitable[None]]


class Runner:
    """Runs the inference processors of pipelines, and what is to happen when they fail."""

    def __init__(self, upstream: Upstream, endpoints: Endpoints) -> None:
        self._upstream = upstream
        self._inferring = Inferring(endpoints)

    async def before(self, tasks: Sequence[Task]) -> None:
        """Run the processors at the beginning."""
        await self._run([(task, task.pipeline.before) for task in tasks])

    async def after(self, tasks: Sequence[Task]) -> None:
        """Run the processors at the end."""
        await self._run([(task, task.pipeline.after) for task in tasks])

    async def _run(self, work: Sequence[tuple[Task, Sequence[Processor]]]) -> None:
        for number in range(max((len(processors) for _, processors in work), default=0)):
            turn = [
                (task, processors[number])
                for task, processors in work
                if number < len(processors) and task.error is None and not task.has_ended
            ]
            await self._inferring.run(turn, Deadline.after(_INFERRING))
            for task, processor in turn:
                if task.error is not None:
                    await self._recover(task, task.error, processor)

    async def _recover(self, task: Task, error: ProxyError, processor: Processor) -> None:
        """Do what is to be done when a processor has failed. Source: CompoundProcessor."""
        if processor.ignore_failure:
            task.error = None
            return
        handlers = processor.on_failure or task.pipeline.on_failure
        if not handlers:
            return
        draft = Draft(task.data, task.meta)
        (found,) = await simulate(
            self._upstream, _INLINE, [draft], recovery(error, processor.tag, handlers)
        )
        task.error = found.error
        if found.source is not None:
            task.data = found.source
            task.meta |= found.meta
            task.has_ended = not processor.on_failure
        elif found.is_dropped:
            task.error = error


@dataclass(slots=True, kw_only=True)
class Entry:
    """An item with its pipelines: that of its request or index, and the final one."""

    item: Item
    data: bytes
    index: str
    main: str | None
    final: str | None
    error: ProxyError | None = None
    is_filled: bool = False  # whether semantic fields are, from what its main pipeline makes
    is_left: bool = False  # to the upstream, as it is now

    @property
    def meta(self) -> dict[str, Any]:
        return {"_index": self.index, **self.item.meta}

    @property
    def is_open(self) -> bool:
        return self.error is None and not self.is_left

    def follow(self, task: Task) -> None:
        """Take over what came of it in a pipeline."""
        self.data, self.error = task.data, task.error
        if task.has_ended:
            self.leave_pipeline(task.meta)

    def leave_pipeline(self, meta: dict[str, Any]) -> None:
        """Its main pipeline has run to its end."""
        present = self.meta
        changed = {key: value for key, value in meta.items() if present.get(key) != value}
        self.item.meta = {**self.item.meta, **changed, "pipeline": NONE}
        self.main = None

    def finish(self) -> None:
        """Change the item for good."""
        if self.error is not None:
            self.item.filling = Filling(error=self.error)
            return
        self.item.source = self.data
        self.item.action_line = orjson.dumps({self.item.action: self.item.meta})
        self.item.is_processed = True


class Ingesting:
    """Runs the pipelines of one caller's items; `index` is the one in the request's path."""

    def __init__(self, exchange: Exchange, index: str | None) -> None:
        self._registry = exchange.parts.registry
        self._upstream = exchange.parts.upstream
        self._runner = Runner(exchange.parts.upstream, exchange.parts.endpoints)
        self._known: Mapping[str, Pipeline] = {}
        self._plans: dict[tuple[str, str | None], tuple[IndexPipelines, bool]] = {}
        self._index = index
        self._requested = exchange.rest.parameters.get("pipeline")

    async def run(self, items: Sequence[Item]) -> None:
        """Change items as their pipelines do; what fails is its item's error."""
        self._known = (await self._registry.known_pipelines()).known
        found = [await self._entry(item) for item in items if item.source is not None]
        entries = [entry for entry in found if entry is not None]
        if not entries:
            return
        await self._run(entries)
        for entry in entries:
            entry.finish()

    async def _entry(self, item: Item) -> Entry | None:
        """An item whose pipelines the proxy has a part in; None for any other."""
        index = item.index or self._index
        requested = item.meta.get("pipeline", self._requested)
        if index is None or not isinstance(requested, str | None):
            return None
        if item.action == "update":
            return await self._upsert(item, index, requested)
        used, is_filled = await self._plan(index, requested)
        if not is_filled and used.default not in self._known and used.final not in self._known:
            return None
        if item.source is None or read_document(item.source) is None:
            return None  # the upstream says what is wrong with it
        return Entry(
            item=item,
            data=item.source,
            index=index,
            main=used.default,
            final=used.final,
            is_filled=is_filled,
        )

    async def _upsert(self, item: Item, index: str, requested: str | None) -> Entry | None:
        """An update that would run a pipeline of ours, with its error; None for any other."""
        document = read_document(item.source or b"") if self._known else None
        if document is None:
            return None
        if document.get("upsert") is None:
            if document.get("doc_as_upsert") is not True:
                return None
            requested = None  # that one is for what stands in `upsert`
        used = await used_by(self._registry, index, requested)
        for name in (used.default, used.final):
            if name in self._known:
                error = IllegalArgument(_UPDATE.format(id=name))
                return Entry(item=item, data=b"", index=index, main=None, final=None, error=error)
        return None

    async def _plan(self, index: str, requested: str | None) -> tuple[IndexPipelines, bool]:
        """What documents for `index` go through, and whether semantic fields await the outcome."""
        key = (index, requested)
        if key not in self._plans:
            fields = (await self._registry.write_target(index)).fields
            used = IndexPipelines()
            if fields or self._known:
                used = await used_by(self._registry, index, requested)
            self._plans[key] = used, bool(fields) and used.default is not None
        return self._plans[key]

    async def _run(self, entries: Sequence[Entry]) -> None:
        main = self._of(entries, "main")
        await self._work(main, self._runner.before)
        simulated = [
            entry
            for entry in entries
            if entry.is_open
            and entry.main is not None
            and (entry.is_filled or self._has_end(entry.main) or entry.final in self._known)
        ]
        ending = self._of(simulated, "main")
        await self._simulate(simulated)
        await self._work(ending, self._runner.after)
        for entry in entries:
            if entry.is_open and entry.final is not None and self._has_end(entry.final):
                entry.error = IllegalArgument(_FINAL.format(id=entry.final))
        # The upstream runs the rest of a final pipeline, whatever has happened before.
        final = self._of(entries, "final")
        await self._work(
            [(entry, replace(one, on_failure=())) for entry, one in final], self._runner.before
        )

    def _of(self, entries: Iterable[Entry], name: str) -> list[tuple[Entry, Pipeline]]:
        """Those of the entries whose pipeline of this name is ours."""
        found = ((entry, self._known.get(getattr(entry, name))) for entry in entries)
        return [(entry, one) for entry, one in found if one is not None]

    def _has_end(self, pipeline_id: str) -> bool:
        return pipeline_id in self._known and bool(self._known[pipeline_id].after)

    async def _work(self, found: Iterable[tuple[Entry, Pipeline]], run: Run) -> None:
        """Run processors of these pipelines."""
        work = [
            (entry, Task(data=entry.data, meta=entry.meta, pipeline=pipeline))
            for entry, pipeline in found
            if entry.is_open
        ]
        if work:
            await run([task for _, task in work])
        for entry, task in work:
            entry.follow(task)

    async def _simulate(self, entries: Iterable[Entry]) -> None:
        """Have the upstream run the main pipelines."""
        by_pipeline: dict[str, list[Entry]] = {}
        for entry in entries:
            by_pipeline.setdefault(entry.main or "", []).append(entry)
        for pipeline_id, group in by_pipeline.items():
            target = f"/_ingest/pipeline/{quote(pipeline_id, safe='')}/_simulate"
            drafts = [Draft(entry.data, entry.meta) for entry in group]
            outcomes = await simulate(self._upstream, target, drafts)
            for entry, outcome in zip(group, outcomes, strict=True):
                await self._take(entry, outcome)

    async def _take(self, entry: Entry, outcome: Outcome) -> None:
        """Go on with what came of an entry in its main pipeline."""
        if outcome.source is None:
            entry.error = outcome.error
            entry.is_left = outcome.is_dropped  # as the upstream will do itself
            return
        entry.data = outcome.source
        entry.leave_pipeline({**entry.meta, **outcome.meta})
        index = outcome.meta.get("_index")
        if index is not None:
            entry.final = (await used_by(self._registry, str(index), NONE)).final


async def used_by(registry: Registry, index: str, requested: str | None) -> IndexPipelines:
    """The pipelines that a document for `index` goes through. Raises: UpstreamError."""
    used = await registry.pipelines.used(registry.snapshot.pipelines, index)
    if requested is None:
        return used
    return IndexPipelines(None if requested == NONE else requested, used.final)


async def is_processed(registry: Registry, index: str, requested: str | None) -> bool:
    """Whether the proxy runs a part of what documents for `index` go through.

    Raises: UpstreamError.
    """
    pipelines = await registry.known_pipelines()
    return bool(pipelines.known) and pipelines.concern(await used_by(registry, index, requested))
