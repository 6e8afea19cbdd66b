"""Checks that a history of concurrent changes and reads is linearizable, except for stale reads.

Each operation takes effect at one moment between its beginning and its end, a read up to
`staleness` seconds earlier. An operation without an answer takes effect at some later moment, or
never. A list that lags shows every change that was acknowledged before it; others it may miss, even
if a single read has shown them. A history is explained if some order of these moments gives all the
answers that were given. Each inference id is checked separately.

Elasticsearch shows a change before it is safe on disk. After a crash, a change that was seen but
not acknowledged may be gone, so reads of it say nothing about the order.

Each change writes a unique number into several fields, so a record shows by which changes it was
made.
Source: Wing and Gong, Testing and verifying concurrent objects; Lowe, Testing for linearizability
(its just-in-time linearization).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"


class Outcome(StrEnum):
    DONE = "done"  # acknowledged; of a read: it showed the record, or that there is none
    MISSING = "missing"  # refused, as there was no such endpoint
    EXISTS = "exists"  # refused, as there was one
    REFUSED = "refused"  # for another reason, and certainly not done
    UNKNOWN = "unknown"  # no answer, or one that does not tell


class Fault(StrEnum):
    """What is wrong with a history."""

    HALF_WRITTEN = "a record that is none of those sent"
    LOST = "an acknowledged change is lost"
    RESURRECTED = "a deleted endpoint is back"
    CREATED_TWICE = "an endpoint was created twice"
    LIST_DISAGREES = "a list shows what single reads exclude"
    UNEXPLAINED = "an answer that no order explains"


@dataclass(frozen=True, slots=True)
class State:
    """An existing endpoint: the numbers of its creation and of its last change."""

    born: int
    changed: int


@dataclass(frozen=True, slots=True)
class Record:
    """An endpoint as shown: `marks` has the number in each field that every change writes."""

    born: int
    marks: tuple[int, ...]

    @property
    def state(self) -> State | None:
        """The state that it shows; None if it mixes two changes."""
        return State(self.born, self.marks[0]) if len(set(self.marks)) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A request and its outcome. Times are in seconds of one clock."""

    number: int  # unique; creations and updates write it
    kind: Kind
    inference_id: str
    began: float
    ended: float
    outcome: Outcome = Outcome.DONE
    shown: Record | None = None  # by the answer; None after a read: there is no such endpoint
    listed: bool = False  # read from a list
    staleness: float = 0.0  # seconds that a read may be stale; infinite if it says so itself
    lags: bool = False  # a list that need not show a change before it is acknowledged

    def __str__(self) -> str:
        what = f"{self.outcome} {self.shown}" if self.shown else str(self.outcome)
        where = "from a list " if self.listed else ""
        times = f"{self.began:.4f}-{self.ended:.4f}"
        return f"{times} #{self.number} {self.kind} [{self.inference_id}] {where}-> {what}"

    @property
    def is_change(self) -> bool:
        """Whether it has, or may have, changed something."""
        uncertain = self.outcome in (Outcome.DONE, Outcome.UNKNOWN)
        return uncertain and self.kind is not Kind.READ

    def holds(self, state: State | None) -> bool:
        """Whether the answer, of an operation that changed nothing, is right in this state."""
        if self.outcome is Outcome.EXISTS:
            return state is not None
        if self.outcome is Outcome.MISSING or self.shown is None:
            return state is None
        return state == self.shown.state

    def effects(self, state: State | None) -> Iterator[State | None]:
        """The state after the change; nothing if the change is impossible in this state."""
        if (state is None) is not (self.kind is Kind.CREATE):
            return
        if state is None:
            yield State(self.number, self.number)
        elif self.kind is Kind.DELETE:
            yield None
        elif self.shown is None or self.shown.born == state.born:
            yield State(state.born, self.number)


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of an id before a history: its state, and all numbers ever sent for it."""

    state: State | None = None
    sent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Violation:
    fault: Fault
    operation: Operation
    possible: tuple[State | None, ...] = ()  # the states that would have been right

    def __str__(self) -> str:
        states = ", ".join(str(state) if state else "none" for state in self.possible)
        return f"{self.fault}: {self.operation}; it could only find: {states or 'what was sent'}"


NOTHING: Final = Past()


def check(
    operations: Sequence[Operation], past: Mapping[str, Past], crashes: Sequence[float] = ()
) -> list[Violation]:
    """The violations in a history; of each id only the first answer that no order explains.

    crashes: when Elasticsearch itself was killed.
    """
    by_id: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_id[operation.inference_id].append(operation)
    violations = []
    for inference_id, mine in by_id.items():
        before = past.get(inference_id, NOTHING)
        torn = [one for one in mine if not _was_sent(one, before.sent | sent(mine))]
        violations += [Violation(Fault.HALF_WRITTEN, one) for one in torn]
        telling = [one for one in _telling(mine, torn) if not _is_unsafe(one, mine, crashes)]
        violations += _unexplained(telling, before.state)
    return violations


def sent(operations: Iterable[Operation]) -> frozenset[int]:
    """The numbers that these operations may have written."""
    return frozenset(one.number for one in operations if one.is_change)


def _was_sent(operation: Operation, numbers: Collection[int]) -> bool:
    """Whether it shows a record that was sent and, as the answer to a change, that change."""
    if operation.shown is None:
        return True
    state = operation.shown.state
    if state is None or state.born not in numbers or state.changed not in numbers:
        return False
    return operation.kind is Kind.READ or state.changed == operation.number


def _telling(operations: Sequence[Operation], torn: Collection[Operation]) -> list[Operation]:
    """The operations that say something about the order of changes."""
    seen = {one.shown.marks[0] for one in operations if one.shown}
    telling = []
    for one in operations:
        if one in torn:
            one = replace(one, outcome=Outcome.UNKNOWN, shown=None)
        # An update that nobody saw makes no difference to any answer, made or not.
        is_unseen = one.kind is Kind.UPDATE and one.number not in seen
        is_vain = one.kind is Kind.READ or is_unseen
        if one.outcome is Outcome.UNKNOWN and is_vain:
            continue
        if one.outcome is not Outcome.REFUSED and not math.isinf(one.staleness):
            telling.append(one)
    return telling


def _is_unsafe(
    operation: Operation, operations: Iterable[Operation], crashes: Sequence[float]
) -> bool:
    """Whether it may have read a change that was then lost in a crash."""
    if operation.is_change:
        return False
    return any(
        one.is_change
        and one.outcome is Outcome.UNKNOWN
        and one.began <= min(crash, operation.ended)
        and operation.began - operation.staleness <= crash
        for crash in crashes
        for one in operations
    )


# The search


@dataclass(frozen=True, slots=True)
class _World:
    """One possible course so far: what is stored, and which open operations have taken effect."""

    state: State | None
    done: frozenset[int] = frozenset()  # open changes that have taken effect
    met: frozenset[int] = (
        frozenset()
    )  # open operations without a change, whose answer was right at some moment

    def after(self, change: Operation, state: State | None, open_: Iterable[Operation]) -> _World:
        done = self.done | {change.number}
        return _World(state, done, self.met).noticing(open_)

    def noticing(self, open_: Iterable[Operation]) -> _World:
        """The same, with those whose answers are right now added to `met`."""
        now = {one.number for one in open_ if not one.is_change and one.holds(self.state)}
        return replace(self, met=self.met | now)

    def without(self, number: int) -> _World:
        return _World(self.state, self.done - {number}, self.met - {number})


@dataclass(slots=True)
class _Search:
    """All courses that are possible so far."""

    worlds: set[_World]
    open_: dict[int, Operation] = field(default_factory=dict)

    def begin(self, operation: Operation) -> None:
        self.open_[operation.number] = operation
        if not operation.is_change:
            self.worlds = {world.noticing([operation]) for world in self.worlds}

    def end(self, operation: Operation) -> bool:
        """Keep the courses in which it has taken effect; False if there are none."""
        number = operation.number
        reached, left = set(), list(self.worlds)
        tried = set(left)
        while left:
            world = left.pop()
            if number in world.done or number in world.met:
                reached.add(world.without(number))
                continue
            new = set(self._next(world)) - tried
            tried |= new
            left += new
        del self.open_[number]
        if reached:
            self.worlds = _best(reached)
        return bool(reached)

    def _next(self, world: _World) -> Iterator[_World]:
        for change in self.open_.values():
            if change.is_change and change.number not in world.done:
                for state in change.effects(world.state):
                    yield world.after(change, state, self.open_.values())


def _best(worlds: Iterable[_World]) -> set[_World]:
    """Without those that are outdone by one that has met more with the same changes."""
    groups: dict[tuple[State | None, frozenset[int]], list[_World]] = defaultdict(list)
    for world in worlds:
        groups[world.state, world.done].append(world)
    return {
        one
        for group in groups.values()
        for one in group
        if not any(one.met < other.met for other in group)
    }


def _unexplained(operations: Sequence[Operation], state: State | None) -> list[Violation]:
    """The first answer that no order explains, if there is one."""
    events = []
    for one in operations:
        events.append((_earliest(one, operations), 0, one.number, one))
        if one.outcome is not Outcome.UNKNOWN:  # otherwise it stays open
            events.append((one.ended, 1, one.number, one))
    search = _Search({_World(state)})
    for _, is_end, _, one in sorted(events, key=lambda event: event[:3]):
        if not is_end:
            search.begin(one)
            continue
        possible = {world.state for world in search.worlds}
        if not search.end(one):
            return [Violation(_fault(one, possible), one, tuple(sorted(possible, key=str)))]
    return []


def _earliest(operation: Operation, operations: Iterable[Operation]) -> float:
    """When it may have taken effect at the earliest."""
    if not operation.lags:
        return operation.began - operation.staleness
    done = [one.ended for one in operations if one.is_change and one.outcome is Outcome.DONE]
    last = max((ended for ended in done if ended <= operation.began), default=-math.inf)
    return math.nextafter(last, math.inf)  # after it


def _fault(operation: Operation, possible: Collection[State | None]) -> Fault:
    """The kind of fault, by what was found and what would have been right."""
    if operation.listed:
        return Fault.LIST_DISAGREES
    if operation.kind is Kind.CREATE and operation.outcome is Outcome.DONE:
        return Fault.CREATED_TWICE
    found_none = operation.outcome is Outcome.MISSING or (
        operation.kind is Kind.READ and operation.shown is None
    )
    if found_none:
        return Fault.LOST
    if not any(possible):
        return Fault.RESURRECTED
    return Fault.LOST if operation.kind is Kind.READ else Fault.UNEXPLAINED
