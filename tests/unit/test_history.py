"""The checker of histories finds what is wrong, and nothing else, in histories made by hand."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.torture.history import (
    Fault,
    Kind,
    Operation,
    Outcome,
    Past,
    Record,
    State,
    check,
    sent,
)

HALF = Record(1, (1, 2))


def record(born: int, changed: int) -> Record:
    return Record(born, (changed, changed))


def create(number: int, began: float, ended: float, **more: Any) -> Operation:
    return _operation(Kind.CREATE, number, began, ended, record(number, number), more)


def update(number: int, born: int, began: float, ended: float, **more: Any) -> Operation:
    return _operation(Kind.UPDATE, number, began, ended, record(born, number), more)


def delete(number: int, began: float, ended: float, **more: Any) -> Operation:
    return _operation(Kind.DELETE, number, began, ended, None, more)


def read(
    shown: tuple[int, int] | Record | None, began: float, ended: float, **more: Any
) -> Operation:
    if isinstance(shown, tuple):
        shown = record(*shown)
    return _operation(Kind.READ, next(_numbers), began, ended, shown, more)


def _operation(
    kind: Kind, number: int, began: float, ended: float, shown: Record | None, more: dict[str, Any]
) -> Operation:
    if more.get("outcome", Outcome.DONE) is not Outcome.DONE:
        shown = None
    fields = {"inference_id": "e", "began": began, "ended": ended, "shown": shown, **more}
    return Operation(number=number, kind=kind, **fields)


_numbers = itertools.count(1000)
EXISTS, MISSING = Outcome.EXISTS, Outcome.MISSING
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN

GOOD: dict[str, list[Operation]] = {
    "a life": [
        read(None, 0, 1),
        create(1, 2, 3),
        read((1, 1), 4, 5),
        update(2, 1, 6, 7),
        read((1, 2), 8, 9, listed=True),
        delete(3, 10, 11),
        read(None, 12, 13),
        create(4, 14, 15),
        read((4, 4), 16, 17),
    ],
    "of two creations at once one is refused": [
        create(1, 0, 10),
        create(2, 0, 9, outcome=EXISTS),
        read((1, 1), 11, 12),
    ],
    "a change under way is seen, and not seen, until it is acknowledged": [
        create(1, 0, 1),
        update(2, 1, 2, 10),
        read((1, 1), 3, 4),
        read((1, 2), 5, 6),
        read((1, 2), 11, 12),
    ],
    "changes at once have any order": [
        create(1, 0, 1),
        update(2, 1, 2, 10),
        update(3, 1, 2, 10),
        delete(4, 2, 10),
        create(5, 2, 10),
        read((1, 3), 3, 4),
        read((1, 2), 5, 6),
        read((5, 5), 7, 8),
    ],
    "a deletion and an update at once, the update too late": [
        create(1, 0, 1),
        delete(2, 2, 10),
        update(3, 1, 2, 10, outcome=MISSING),
        read(None, 11, 12),
    ],
    "an unacknowledged change that was made": [
        create(1, 0, 1, outcome=UNKNOWN),
        read((1, 1), 2, 3),
        update(2, 1, 4, 5, outcome=UNKNOWN),
        read((1, 2), 6, 7),
        delete(3, 8, 9, outcome=UNKNOWN),
        read(None, 10, 11),
    ],
    "an unacknowledged change that was not made": [
        create(1, 0, 1),
        update(2, 1, 2, 3, outcome=UNKNOWN),
        delete(3, 2, 3, outcome=UNKNOWN),
        read((1, 1), 4, 5),
        create(4, 6, 7, outcome=EXISTS),
    ],
    "an unacknowledged change that is made later": [
        create(1, 0, 1),
        update(2, 1, 2, 3, outcome=UNKNOWN),
        read((1, 1), 4, 5),
        read((1, 2), 6, 7),
    ],
    "an unacknowledged creation is found by its deletion alone": [
        create(1, 0, 1, outcome=UNKNOWN),
        delete(2, 2, 3),
        create(3, 4, 5),
    ],
    "what was refused has no effect": [
        create(1, 0, 1),
        update(2, 1, 2, 3, outcome=REFUSED),
        read((1, 1), 4, 5),
    ],
    "a read may lag behind within the bound": [
        create(1, 0, 1),
        update(2, 1, 2, 3),
        read((1, 1), 3.4, 3.5, staleness=0.5),
        read((1, 2), 3.4, 3.5, staleness=0.5),
        read((1, 1), 3.45, 3.5, staleness=0.5),
    ],
    "a list may lag behind what is read but not acknowledged": [
        create(1, 0, 1),
        update(2, 1, 2, 9),
        read((1, 2), 3, 4),
        read((1, 1), 7, 8, listed=True, lags=True),
        read((1, 2), 7, 8, listed=True, lags=True),
        read((1, 2), 9, 9.5, listed=True, lags=True),
    ],
    "a list may lag behind a change without an answer": [
        create(1, 0, 1),
        update(2, 1, 2, 3, outcome=UNKNOWN),
        read((1, 2), 4, 5),
        read((1, 1), 7, 8, listed=True, lags=True),
        read((1, 2), 9, 10),
    ],
    "a read that is marked as stale may be old": [
        create(1, 0, 1),
        update(2, 1, 2, 3),
        read((1, 1), 100, 101, staleness=math.inf),
    ],
    "a read without an answer says nothing": [read((1, 1), 0, 1, outcome=UNKNOWN)],
}

BAD: dict[str, tuple[Fault, list[Operation]]] = {
    "a lost creation": (Fault.LOST, [create(1, 0, 1), read(None, 2, 3)]),
    "a lost update": (
        Fault.LOST,
        [create(1, 0, 1), update(2, 1, 2, 3), read((1, 1), 4, 5)],
    ),
    "an update lost in another": (
        Fault.LOST,
        [
            create(1, 0, 1),
            update(2, 1, 2, 10),
            update(3, 1, 2, 10),
            read((1, 2), 11, 12),
            read((1, 1), 13, 14),
        ],
    ),
    "a lost creation that an update finds": (
        Fault.LOST,
        [create(1, 0, 1), update(2, 1, 2, 3, outcome=MISSING)],
    ),
    "a deletion that comes undone": (
        Fault.RESURRECTED,
        [create(1, 0, 1), delete(2, 2, 3), read(None, 4, 5), read((1, 1), 6, 7)],
    ),
    "a deletion that another client sees undone": (
        Fault.RESURRECTED,
        [create(1, 0, 1), delete(2, 2, 3), create(3, 4, 5, outcome=EXISTS)],
    ),
    "an update that brings a deleted endpoint back": (
        Fault.RESURRECTED,
        [create(1, 0, 1), delete(2, 2, 3), update(3, 1, 4, 5)],
    ),
    "one endpoint deleted twice": (
        Fault.RESURRECTED,
        [create(1, 0, 1), delete(2, 2, 10), delete(3, 2, 10)],
    ),
    "a record of two changes": (
        Fault.HALF_WRITTEN,
        [create(1, 0, 1), update(2, 1, 2, 3), read(HALF, 2, 3), read((1, 2), 4, 5)],
    ),
    "half of an unacknowledged change": (
        Fault.HALF_WRITTEN,
        [create(1, 0, 1), update(2, 1, 2, 3, outcome=UNKNOWN), read(HALF, 4, 5)],
    ),
    "an old record marked as stale, but torn": (
        Fault.HALF_WRITTEN,
        [create(1, 0, 1), update(2, 1, 2, 3), read(HALF, 4, 5, staleness=math.inf)],
    ),
    "a record that nobody sent": (Fault.HALF_WRITTEN, [create(1, 0, 1), read((1, 9), 2, 3)]),
    "a change answered with another": (
        Fault.HALF_WRITTEN,
        [create(1, 0, 1), replace(update(2, 1, 2, 3), shown=record(1, 1))],
    ),
    "a list without an endpoint": (
        Fault.LIST_DISAGREES,
        [create(1, 0, 1), read((1, 1), 2, 3), read(None, 2, 3, listed=True)],
    ),
    "a list with an old record": (
        Fault.LIST_DISAGREES,
        [create(1, 0, 1), update(2, 1, 2, 3), read((1, 1), 4, 5, listed=True)],
    ),
    "a list with a deleted endpoint": (
        Fault.LIST_DISAGREES,
        [create(1, 0, 1), delete(2, 2, 3), read((1, 1), 4, 5, listed=True)],
    ),
    "a list that lags behind what is acknowledged": (
        Fault.LIST_DISAGREES,
        [
            create(1, 0, 1),
            update(2, 1, 2, 3),
            read((1, 1), 3.1, 4, listed=True, lags=True),
        ],
    ),
    "a list that shows the change before the one acknowledged": (
        Fault.LIST_DISAGREES,
        [
            create(1, 0, 1),
            update(2, 1, 2, 3, outcome=UNKNOWN),
            read((1, 2), 4, 5),
            update(3, 1, 6, 7),
            read((1, 2), 8, 9, listed=True, lags=True),
        ],
    ),
    "one id created twice at once": (
        Fault.CREATED_TWICE,
        [create(1, 0, 10), create(2, 0, 10)],
    ),
    "one id created twice in turn": (
        Fault.CREATED_TWICE,
        [create(1, 0, 1), create(2, 2, 3)],
    ),
    "a read that goes back in time": (
        Fault.LOST,
        [create(1, 0, 1), update(2, 1, 2, 10), read((1, 2), 3, 4), read((1, 1), 5, 6)],
    ),
    "a read that lags behind beyond the bound": (
        Fault.LOST,
        [create(1, 0, 1), update(2, 1, 2, 3), read((1, 1), 3.6, 3.7, staleness=0.5)],
    ),
    "an update that found an endpoint of another life": (
        Fault.UNEXPLAINED,
        [create(1, 0, 1), delete(2, 2, 3), create(3, 4, 5), update(4, 1, 6, 7)],
    ),
    "what was refused had its effect": (
        Fault.HALF_WRITTEN,
        [create(1, 0, 1), create(2, 2, 3, outcome=EXISTS), read((2, 2), 4, 5)],
    ),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_is_explained(history: Sequence[Operation]) -> None:
    assert check(history, {}) == []


@pytest.mark.parametrize(("fault", "history"), BAD.values(), ids=BAD)
def test_a_bad_history_is_found(fault: Fault, history: Sequence[Operation]) -> None:
    (violation,) = check(history, {})
    assert violation.fault is fault
    assert "[e]" in str(violation)


@pytest.mark.parametrize(("fault", "history"), BAD.values(), ids=BAD)
def test_it_is_found_among_the_good_ones(fault: Fault, history: Sequence[Operation]) -> None:
    others = [replace(one, inference_id=name) for name, good in GOOD.items() for one in good]
    assert [one.fault for one in check([*others, *history], {})] == [fault]


SEEN_BEFORE_A_CRASH = {
    "an update": [update(2, 1, 2, 6, outcome=UNKNOWN), read((1, 2), 3, 4), read((1, 1), 7, 8)],
    "a deletion": [
        delete(2, 2, 6, outcome=UNKNOWN),
        read(None, 3, 4, listed=True),
        update(3, 1, 3, 4, outcome=MISSING),
        read((1, 1), 7, 8),
    ],
}


@pytest.mark.parametrize("history", SEEN_BEFORE_A_CRASH.values(), ids=SEEN_BEFORE_A_CRASH)
def test_a_crash_may_take_what_was_seen_but_not_acknowledged(history: list[Operation]) -> None:
    history = [create(1, 0, 1), *history]
    assert check(history, {}, crashes=[5]) == []
    assert len(check(history, {})) == 1
    assert len(check(history, {}, crashes=[1.5])) == 1  # before it began


def test_a_crash_takes_nothing_acknowledged() -> None:
    history = [create(1, 0, 1), update(2, 1, 2, 3), read((1, 1), 7, 8)]
    assert [one.fault for one in check(history, {}, crashes=[5])] == [Fault.LOST]


def test_a_history_goes_on_where_the_one_before_ended() -> None:
    past = {"e": Past(State(1, 2), sent([create(1, 0, 1), update(2, 1, 2, 3)]))}
    assert check([read((1, 2), 5, 6), update(3, 1, 7, 8)], past) == []
    assert check([read((1, 1), 5, 6, staleness=math.inf)], past) == []
    (lost,) = check([read((1, 1), 5, 6)], past)
    assert lost.fault is Fault.LOST
    assert lost.possible == (State(1, 2),)


def simulated(rng: random.Random, length: int, loss: float) -> tuple[list[Operation], State | None]:
    """What clients of a correct store see, and what is left in it.

    The moment of each effect is drawn, then the times around it; answers to changes get lost.
    """
    state: State | None = None
    history = []
    for number in range(1, length + 1):
        moment = number + rng.random() / 2
        times: dict[str, Any] = {
            "began": moment - rng.uniform(0, 4),
            "ended": moment + rng.uniform(0, 4),
        }
        kind = rng.choice(list(Kind))
        asked = Operation(number=number, kind=kind, inference_id="e", **times)
        effects = list(asked.effects(state))
        outcome = Outcome.DONE
        if kind is not Kind.READ:
            is_lost = rng.random() < loss
            refusal = EXISTS if kind is Kind.CREATE else MISSING
            outcome = UNKNOWN if is_lost else Outcome.DONE if effects else refusal
            if effects and not (is_lost and rng.random() < 0.5):
                state = effects[0]
        shown = state if kind is not Kind.DELETE and outcome is Outcome.DONE else None
        seen = record(shown.born, shown.changed) if shown else None
        history.append(replace(asked, outcome=outcome, shown=seen))
    return history, state


@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_correct_store_answers_is_explained_in_time(seed: int) -> None:
    history, _ = simulated(random.Random(seed), 150, loss=0.05)
    began = time.monotonic()
    assert check(history, {}) == []
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("seed", range(30))
def test_after_many_changes_the_last_one_alone_counts(seed: int) -> None:
    history, left = simulated(random.Random(seed), 60, loss=0.0)
    if left is not None:
        history.append(delete(900, 80, 81))
    history += [create(901, 82, 83), update(902, 901, 84, 85)]
    for shown in {None, *(one.shown for one in history)}:
        found = check([*history, read(shown, 86, 87)], {})
        assert (found == []) is (shown == record(901, 902))
