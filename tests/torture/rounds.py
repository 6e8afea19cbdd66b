"""Rounds of torture: callers at work, processes killed, the store compared with the answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from testbed.processes import Process
from tests.torture.callers import IDS, Recorder, answered, call_until, once
from tests.torture.history import (
    Kind,
    Operation,
    Outcome,
    Past,
    State,
    Violation,
    check,
    sent,
)
from tests.torture.stage import FRESHNESS, Stage, Store, Victim

CALLERS: Final = 5
RENEWAL: Final = 20  # rounds until the store is emptied
CRASHES: Final = 12  # in one of so many rounds Elasticsearch is killed, too
_FIRST_CRASH: Final = 3
_TIMEOUT: Final = ClientTimeout(total=60)
_CHANGE: Final = {Store.SQLITE: 0.006, Store.ELASTICSEARCH: 0.04}  # seconds that a change takes
_ODDS: Final = {Victim.WORKER: 6, Victim.WORKERS: 2, Victim.PARENT: 1, Victim.PROXY: 1}


@dataclass(frozen=True, slots=True)
class Blow:
    after: float  # seconds since the one before
    delay: float  # seconds since a change began
    victim: Victim


@dataclass(slots=True)
class Figures:
    """What was done in the rounds, and what was found."""

    rounds: int = 0
    kills: Counter[Victim] = field(default_factory=Counter)
    operations: int = 0
    acknowledged: int = 0  # changes
    unanswered: int = 0  # changes
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {victim}" for victim, count in self.kills.items())
        return (
            f"{self.rounds} rounds, {self.kills.total()} kills ({kills}), {self.operations} "
            f"operations, {self.acknowledged} changes acknowledged, {self.unanswered} without an "
            f"answer, {len(self.faults)} violations, {self.seconds / 60:.1f} minutes"
        )


async def torture(
    store: Store,
    *,
    rounds: int,
    seed: int,
    registry: list[Process] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Torture proxies over one store; `tell` is given progress and every fault."""
    figures, began = Figures(), time.monotonic()
    connector = TCPConnector(force_close=True, limit=0)  # each request may reach another worker
    async with (
        Stage(store, registry) as stage,
        ClientSession(connector=connector, timeout=_TIMEOUT, middlewares=[once]) as session,
    ):
        past: dict[str, Past] = {}
        recorder = Recorder(
            session=session,
            urls=(),
            provider=stage.provider,
            freshness=FRESHNESS,
            lists_lag=store is Store.ELASTICSEARCH,  # a search finds what has been refreshed
            random=random.Random(seed),
        )
        for number in range(rounds):
            if number % RENEWAL == 0:
                await stage.begin_anew()
                past = {}
            recorder.random.seed(f"{seed} {number}")
            recorder.operations, recorder.errors = [], []
            stage.crashes, stage.faults = [], []
            blows = plan(store, number, recorder.random)
            await _round(stage, recorder, blows)
            faults = check(recorder.operations, past, stage.crashes)
            past = {
                one: _past_after(recorder.operations, past.get(one, Past()), one) for one in IDS
            }
            _count(figures, recorder.operations)
            told = [_explained(fault, recorder.operations) for fault in faults] + stage.faults
            if not stage.crashes:
                told += [f"an error without a reason: {error}" for error in recorder.errors]
            figures.faults += told
            figures.seconds, figures.kills = time.monotonic() - began, stage.kills
            for text in told:
                tell(f"{store}, seed {seed}, round {number}: {text}")
            if (number + 1) % 10 == 0:
                tell(f"{store}: {figures}")
    return figures


def plan(store: Store, number: int, rng: random.Random) -> list[Blow]:
    """What to kill in a round, and when."""
    count = rng.randint(1, 3)
    victims = rng.choices(list(_ODDS), list(_ODDS.values()), k=count)
    if store is Store.ELASTICSEARCH and number % CRASHES == _FIRST_CRASH:
        victims[rng.randrange(count)] = Victim.ELASTICSEARCH
    longest = _CHANGE[store]
    return [Blow(rng.uniform(0.1, 0.8), rng.uniform(0, longest), victim) for victim in victims]


async def _round(stage: Stage, recorder: Recorder, blows: Sequence[Blow]) -> None:
    """Let callers work while processes are killed; then read everything when all are back."""
    stop = asyncio.Event()
    recorder.urls = stage.urls
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call_until(stop, recorder))
        group.create_task(stage.supervise(stop))
        for blow in blows:
            await asyncio.sleep(blow.after)
            recorder.changing.clear()
            await recorder.changing.wait()
            await stage.kill(blow.victim, recorder.random, blow.delay)
        await asyncio.sleep(0.1)
        await stage.all_running()
        stop.set()
    await answered(recorder)
    await asyncio.sleep(FRESHNESS)
    await _look(recorder)


async def _look(recorder: Recorder) -> None:
    """Read every endpoint in every way, several times, as any worker may answer."""
    for _ in range(3):
        await recorder.list_all("")
        for inference_id in IDS:
            await recorder.list_task(inference_id)
            await recorder.read(inference_id)
            await recorder.use(inference_id)


def _past_after(operations: Sequence[Operation], before: Past, inference_id: str) -> Past:
    mine = [one for one in operations if one.inference_id == inference_id]
    last = [one for one in mine if one.kind is Kind.READ and not one.listed][-1]
    state: State | None = last.shown.state if last.shown else None
    return Past(state, before.sent | sent(mine))


def _count(figures: Figures, operations: Sequence[Operation]) -> None:
    changes = Counter(one.outcome for one in operations if one.kind is not Kind.READ)
    figures.rounds += 1
    figures.operations += len({one.number for one in operations})
    figures.acknowledged += changes[Outcome.DONE]
    figures.unanswered += changes[Outcome.UNKNOWN]


def _explained(violation: Violation, operations: Sequence[Operation]) -> str:
    """The violation, and all operations on its endpoint."""
    mine = [one for one in operations if one.inference_id == violation.operation.inference_id]
    return "\n  ".join([str(violation), *map(str, sorted(mine, key=lambda one: one.began))])
