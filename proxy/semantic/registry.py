"""Which indices have semantic fields: read from the upstream's mappings, and kept up to date.

The cluster's state changes with every mapping, alias and template, and with no document. It is
asked for once in a while; as long as it is the same, what was looked up holds. Names that have not
been asked for are looked up before they are believed to have no semantic fields.

Whoever asks after a change through the same proxy sees it, whichever worker has made it. What
others have changed is seen by the next look, and nothing is written by what was seen too long ago.
While there are no requests, there are no looks; the first request then waits for one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.ground.epoch import Epoch
from proxy.ground.errors import ProxyError, UpstreamUnavailable
from proxy.ground.singleflight import SingleFlight
from proxy.semantic import expressions
from proxy.semantic.bounded import Bounded
from proxy.semantic.discovery import Cluster, Concrete, Declared, Resolved
from proxy.semantic.errors import OwnCredentialsRefused
from proxy.semantic.expressions import EVERYTHING
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.pipelineregistry import PipelineRegistry
from proxy.semantic.pipelines import Pipeline
from proxy.semantic.ports import Upstream

log: Final = logging.getLogger(__name__)

_FEW: Final = 16  # indices whose mappings are read, although none of them had fields at last look
_TARGETS: Final = 2_000  # expressions that are kept for one state of the cluster
_PLAIN: Final = 20_000
_ATTEMPTS: Final = 3  # at looking up indices of which some are deleted meanwhile
_LONGEST: Final = 255  # characters of one, as long as a name can be
# How long it is written by what a look has seen: as long as so many looks are apart.
_TRUST: Final = 3
_SHORTEST_TRUST: Final = 1.0  # seconds
_PATIENCE: Final = 60.0  # seconds
# A cluster whose state changes all the time is asked less often, if its answers take long.
_REST: Final = 10  # times the time that a look took


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What callers need privileges for, of an index expression.

    Either one name, for which they need them, or its patterns, of which they see what they may.
    """

    names: tuple[str, ...]  # a privilege on any of them will do
    indices: frozenset[str] = frozenset()  # those with semantic fields
    is_pattern: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an index expression stands for."""

    exists: bool  # whether it stands for any index at all
    fields: Mapping[str, Fields]  # by concrete index, of those that have semantic fields
    others: bool = False  # whether it stands for others, too
    is_clear: bool = True  # whether all that it names is seen, or has fields
    name: str = ""  # the expression, with its date computed
    write_index: str | None = None  # the index that takes documents; None where none does
    parts: tuple[Part, ...] = ()

    def by_path(self) -> dict[str, Fields]:
        """The semantic fields by the names that queries may use, aliases included, and by index."""
        found: dict[str, dict[str, SemanticField]] = {}
        for index, fields in self.fields.items():
            for path, one in fields.items():
                for name in (path, *one.aliases):
                    found.setdefault(name, {})[index] = one
        return dict(found)

    def restricted(self, unseen: Collection[Part]) -> Target:
        """What is left for a caller who must not see the semantic fields of these patterns."""
        kept = tuple(part for part in self.parts if part not in unseen)
        seen = {index for part in kept for index in part.indices}
        return replace(
            self,
            fields={index: fields for index, fields in self.fields.items() if index in seen},
            others=True,
            parts=(*kept, *_patterns(self.name)),
        )


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """What is known of one state of the cluster."""

    state: str | None  # what identifies it; None where nobody tells
    declared: Declared
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)  # those of ours, by id
    is_known: bool = True  # false until the first look, and when a look has failed after a change
    targets: Bounded[str, Target] = field(default_factory=lambda: Bounded(_TARGETS))
    plain: Bounded[str, None] = field(default_factory=lambda: Bounded(_PLAIN))
    fields: dict[str, Fields] = field(default_factory=dict)  # by concrete index, as far as read
    # Where documents go, by expression: see proxy.semantic.targets.
    written: Bounded[str, object] = field(default_factory=lambda: Bounded(_TARGETS))
    # Whether any index or template may declare a semantic field, or a pipeline is ours.
    active: bool = field(init=False)

    def __post_init__(self) -> None:
        self.active = not self.is_known or bool(self.declared) or bool(self.pipelines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was asked: in which epoch of this proxy, and at what time."""

    epoch: int
    time: float


class Registry:
    """Knows the semantic fields of every index; `refresh` is the time between two looks."""

    def __init__(
        self,
        upstream: Upstream,
        refresh: float,
        epoch: Epoch,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE,
    ) -> None:
        """`epoch` is shared by all workers, and renewed by changes that any of them makes.

        After `patience` seconds without a request nobody is asked until there is one.
        """
        self._patience = patience
        self._snapshot = _unknown()
        self._generation = object()  # another one whenever something else is known
        self._epoch = epoch
        self._clock = clock
        self._cell = epoch.cell
        self._asked = self._now()  # when what is known was asked for
        self._asked_epoch = self._asked.epoch
        self._trust = max(_TRUST * refresh, _SHORTEST_TRUST)
        self._trusted_until = -math.inf  # the time until which it is written by what is known
        self.stored_pipelines = PipelineRegistry(upstream)
        self._upstream = upstream
        self.cluster = Cluster(upstream)
        self._refresh = refresh
        self._looks = 0  # that have begun
        self._turn = asyncio.Lock()
        self._looking: SingleFlight[int, Snapshot] = SingleFlight()
        self._looking_up: SingleFlight[tuple[int, str], Target] = SingleFlight()
        self._problem: str | None = None
        self._is_blind = False  # whether its own credentials are refused
        self._native: bool | None = None  # not asked yet
        self._is_used = True  # by a request, since the last look that `run` has taken
        self._is_resting = False  # what is known is not kept up to date meanwhile
        self._looked = asyncio.Event()

    async def run(self) -> None:
        """Look at the cluster's state for ever, but for times in which nobody asks."""
        used = self._clock()
        while True:
            started, rest = self._clock(), 0.0
            if self._is_used:
                self._is_used, used = False, started
            elif started - used > self._patience:
                await self._rest()
                continue
            try:
                await self.look()
                took = self._clock() - started
                rest = min(_REST * took, self._trust - 2 * took)  # the next one comes in time
                if not self._is_blind:
                    self._works()
            except ProxyError as error:
                self._report(error)
            await asyncio.sleep(max(self._refresh, rest))

    async def _rest(self) -> None:
        """Until somebody looks, who has found that nothing is known."""
        self._is_resting, self._trusted_until = True, -math.inf
        self._looked.clear()
        await self._looked.wait()

    @property
    def snapshot(self) -> Snapshot:
        """What is known: nothing after a rest, or a change by another worker."""
        self._is_used = True
        is_kept = self._asked.epoch == self._epoch.value and not self._is_resting
        return self._snapshot if is_kept else _unknown()

    @property
    def is_current(self) -> bool:
        """Whether what is known is new enough to write by it."""
        return self._asked.epoch == self._epoch.value and self._clock() < self._trusted_until

    def generation(self) -> object:
        """Another object whenever something else is known, or it is not current."""
        self._is_used = True
        # As `is_current`, without another call: every request that is forwarded asks for it.
        if self._asked_epoch == self._cell[0] and self._clock() < self._trusted_until:
            return self._generation
        return object()

    async def is_native(self) -> bool:
        """Whether the upstream has `semantic_text` of its own. Raises: UpstreamError."""
        if self._native is None:
            self._native = await self._upstream.has_inference()
        return self._native

    async def look(self) -> Snapshot:
        """Take note of what has changed before the call. Raises: UpstreamError."""
        # One under way may have begun too early: all that come meanwhile share the next one.
        return await self._looking.run(self._looks, self._look_in_turn)

    async def changed(self) -> None:
        """Take note of a change, which the upstream has just made; if need be, later."""
        self._epoch.renew()
        try:
            await self.look()
        except ProxyError as error:
            self._report(error)

    async def pipelines(self) -> Mapping[str, Pipeline]:
        """The ingest pipelines of which the proxy runs a part, by id, as current as writes need.

        Raises: UpstreamError.
        """
        snapshot = self.snapshot if self.is_current else await self.look()
        return snapshot.pipelines

    async def look_up(self, expression: str) -> Target:
        """What an index expression stands for, as callers write it. Raises: UpstreamError."""
        snapshot = self.snapshot
        if expression not in snapshot.targets and (
            not snapshot.is_known
            or any(map(expressions.is_pattern, expressions.parts_of(expression)))
        ):  # what a pattern stands for now may have been made since the last look
            snapshot = await self.look()
        if (known := snapshot.targets.get(expression)) is not None:
            return known
        key = (id(snapshot), expression)
        return await self._looking_up.run(key, lambda: self._look_up(snapshot, expression))

    async def _look_in_turn(self) -> Snapshot:
        async with self._turn:
            self._looks += 1
            asked, known = self._now(), self._snapshot
            try:
                state = await self.cluster.state()
            except OwnCredentialsRefused as error:
                if known.active or asked.epoch != self._asked.epoch:
                    raise
                # Nobody has declared a field: to refuse all documents would help nobody.
                self._is_blind = True
                self._report(error, "going on as if nobody declared any")
                self.know(known, asked)
                return known
            self._is_blind = False
            if state is None or state != known.state or not known.is_known:
                declared = await self.cluster.declared()
                pipelines = await self.stored_pipelines.read()
                known = Snapshot(state=state, declared=declared, pipelines=pipelines)
            self.know(known, asked)
            return known

    def know(self, snapshot: Snapshot, asked: Moment | None = None) -> None:
        """Go by `snapshot`, as it was asked for at that moment, or just now."""
        if snapshot is not self._snapshot:
            self._generation = object()
        asked = asked or self._now()
        self._snapshot, self._asked, self._asked_epoch = snapshot, asked, asked.epoch
        self._trusted_until = asked.time + self._trust if snapshot.is_known else -math.inf
        if self._is_resting:
            self._is_used, self._is_resting = True, False
            self._looked.set()

    def _now(self) -> Moment:
        return Moment(epoch=self._epoch.value, time=self._clock())

    def keep_written(self, snapshot: Snapshot, expression: str, target: object) -> None:
        """Remember where documents go by what is known as `snapshot`."""
        if expression in snapshot.targets:
            snapshot.written.keep(expression, target)
            self._generation = object()

    async def _look_up(self, snapshot: Snapshot, expression: str) -> Target:
        local = expressions.local_part(expression)
        if not local or expressions.is_no_index(local):
            return Target(exists=False, fields={}, name=expression)
        for _ in range(_ATTEMPTS):
            if (target := await self._try_to_look_up(snapshot, expression, local)) is not None:
                return target
        raise UpstreamUnavailable("indices were deleted while the proxy looked at them")

    async def _try_to_look_up(
        self, snapshot: Snapshot, expression: str, local: str
    ) -> Target | None:
        """What an expression stands for; None where an index of it has gone meanwhile."""
        resolved = await self.cluster.resolve(local)
        indices = resolved.indices
        if not indices:  # it may be made at any moment: this is not kept
            parts = _parts(local, resolved, {})
            return Target(exists=False, fields={}, name=resolved.name, parts=parts)
        write_index = await self._write_index(resolved)
        if not await self._read(snapshot, _to_be_read(local, resolved, write_index, snapshot)):
            return None
        fields = {name: found for name in indices if (found := snapshot.fields.get(name))}
        is_clear = bool(fields) or resolved.has_all_of(local)
        target = Target(
            exists=True,
            fields=fields,
            others=len(fields) < len(indices),
            is_clear=is_clear,
            name=resolved.name,
            write_index=write_index,
            parts=_parts(local, resolved, fields),
        )
        if len(expression) <= _LONGEST:
            snapshot.targets.keep(expression, target)
            if not fields and is_clear and snapshot.declared.indices.isdisjoint(indices):
                snapshot.plain.keep(expression, None)
                self._generation = object()
        return target

    async def _write_index(self, resolved: Resolved) -> str | None:
        """The index that takes documents. Source: IndexAbstraction.getWriteIndex."""
        name, indices = expressions.without_selector(resolved.name.rstrip(",")), resolved.indices
        if name in indices or expressions.is_pattern(name):
            return name if name in indices else None
        streams = {index.data_stream for index in indices.values()} - {None}
        if not streams:
            return _aliased_write_index(name, indices)
        stream = streams.pop() if len(streams) == 1 else await self.cluster.written_stream(name)
        backing = [one for one, index in indices.items() if index.data_stream == stream]
        if stream is None or len(backing) == 1:
            return backing[0] if backing else None
        return await self.cluster.newest_of(stream)

    async def _read(self, snapshot: Snapshot, indices: Iterable[str]) -> bool:
        """Read the fields of these indices; whether all of them are there."""
        unread = {name for name in indices if name not in snapshot.fields}
        if unread:
            found = await self.cluster.fields(unread)
            snapshot.fields.update(found)
            return found.keys() >= unread
        return True

    def _report(
        self,
        error: ProxyError,
        outcome: str = "documents are soon refused, all else goes by what was seen",
    ) -> None:
        if error.reason != self._problem:
            self._problem = error.reason
            log.warning(
                "cannot see which indices have semantic fields: %s: %s", outcome, error.reason
            )

    def _works(self) -> None:
        if self._problem is not None:
            self._problem = None
            log.info("which indices have semantic fields can be seen again")


def _unknown() -> Snapshot:
    return Snapshot(
        state=None, declared=Declared(indices=frozenset(), templates=False), is_known=False
    )


def _to_be_read(
    expression: str, resolved: Resolved, write_index: str | None, snapshot: Snapshot
) -> set[str]:
    """The indices whose mappings have to be read to know what an expression stands for.

    One that came into being since the last look is not among those that were found to declare
    fields, so the mappings of what is named by its name are read anyway.
    """
    indices = resolved.indices.keys()
    wanted = snapshot.declared.indices & indices
    if write_index is not None:
        wanted |= {write_index}
    if len(indices) <= _FEW and not any(
        map(expressions.is_pattern, expressions.parts_of(expression))
    ):
        wanted |= indices
    return set(wanted)


def _aliased_write_index(alias: str, indices: Mapping[str, Concrete]) -> str | None:
    aliased = {
        one: index.aliases[alias] for one, index in indices.items() if alias in index.aliases
    }
    marked = [one for one, entry in aliased.items() if entry.get("is_write_index")]
    if marked:
        return marked[0]
    if len(aliased) == 1:
        (only, entry), *_ = aliased.items()
        return only if entry.get("is_write_index") is None else None
    return None


def _parts(expression: str, resolved: Resolved, fields: Mapping[str, Fields]) -> tuple[Part, ...]:
    """The parts of an expression; its patterns are one of them where they have semantic fields."""
    named, has_patterns = [], False
    parts = expressions.parts_of(expression)
    for part in parts:
        if len(parts) == 1 and expressions.is_date_math(part):
            part = resolved.name
        if expressions.is_exclusion(part):
            continue
        if expressions.is_pattern(part) or expressions.is_date_math(part):
            has_patterns = True
            continue
        named.append(_named(expressions.without_selector(part), resolved.indices, fields))
    if not has_patterns:
        return tuple(named)
    if not fields:
        return (*named, *_patterns(resolved.name))
    names = tuple(sorted(_known_as(fields, resolved.indices)))
    return (*named, Part(names=names, indices=frozenset(fields), is_pattern=True))


def _named(name: str, indices: Mapping[str, Concrete], fields: Mapping[str, Fields]) -> Part:
    if name in indices:
        stream = indices[name].data_stream
        names = (name,) if stream is None else (name, stream)
        return Part(names=names, indices=frozenset(fields.keys() & {name}))
    behind = (one for one in fields if name in (indices[one].data_stream, *indices[one].aliases))
    # Aliases of data streams are not told of their indices.
    return Part(names=(name,), indices=frozenset(behind) or frozenset(fields))


def _patterns(expression: str) -> tuple[Part, ...]:
    """The patterns of an expression as such, whatever they stand for."""
    return tuple(
        Part(
            names=("*" if part == EVERYTHING else expressions.without_selector(part),),
            is_pattern=True,
        )
        for part in expressions.parts_of(expression)
        if not expressions.is_exclusion(part)
        and (expressions.is_pattern(part) or expressions.is_date_math(part))
    )


def _known_as(names: Iterable[str], indices: Mapping[str, Concrete]) -> set[str]:
    """These indices, their aliases and their data streams."""
    found: set[str] = set()
    for name in names:
        index = indices[name]
        found |= {name, *index.aliases}
        if index.data_stream is not None:
            found.add(index.data_stream)
    return found
