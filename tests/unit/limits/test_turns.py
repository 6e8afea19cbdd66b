"""Long work that lets others work."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.limits.turns import Turns, Worker
from tests.support.clock import Clock

LONG = 1.0  # seconds, in which a worker has done enough


async def busy(turns: Turns, clock: Clock, steps: list[int], name: int) -> None:
    """Work five times for so long that others are to go first."""
    worker = Worker(turns)
    for _ in range(5):
        clock.now += LONG
        await worker.pause()
        steps.append(name)


async def test_of_the_busy_few_go_on_in_each_turn_of_the_loop():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)
    tasks = [asyncio.ensure_future(busy(turns, clock, steps, name)) for name in range(8)]
    while not all(task.done() for task in tasks):
        before = len(steps)
        await asyncio.sleep(0)
        assert len(steps) - before <= 2  # of the first turn, in which all eight began, a share
    assert len(steps) == 40
    assert set(steps[:8]) == set(range(8))  # nobody goes twice before all have gone


async def test_the_longer_turns_of_the_loop_are_the_more_go_on():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)
    tasks = [asyncio.ensure_future(busy(turns, clock, steps, name)) for name in range(40)]
    most = 0
    while not all(task.done() for task in tasks):
        before = len(steps)
        await asyncio.sleep(0)
        clock.now += 330 * LONG  # that others work
        most = max(most, len(steps) - before)
    assert 5 <= most <= 15


async def test_little_work_waits_for_nobody():
    clock = Clock()
    turns = Turns(clock)
    worker = Worker(turns)
    await worker.begin_in_turn()
    clock.now += 0.0001
    worker.end()
    assert not turns.is_over
    await worker.begin_in_turn()
    await worker.pause()


async def test_who_begins_waits_for_the_next_turn_once_others_have_worked_enough():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)
    first, second = Worker(turns), Worker(turns)
    first.begin()
    clock.now += LONG
    first.end()
    assert turns.is_over

    asyncio.get_running_loop().call_soon(steps.append, "another")
    await second.begin_in_turn()
    assert steps == ["another"]
    assert not turns.is_over


async def test_who_begins_goes_before_those_who_have_worked_long():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)
    tasks = [asyncio.ensure_future(busy(turns, clock, steps, name)) for name in range(8)]
    await asyncio.sleep(0)
    await Worker(turns).begin_in_turn()
    assert len(steps) <= 2
    await asyncio.gather(*tasks)


async def test_who_has_worked_long_goes_on_although_others_begin():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)

    async def begin_for_ever() -> None:
        worker = Worker(turns)
        while True:
            await worker.begin_in_turn()
            clock.now += LONG
            worker.end()

    tasks = [asyncio.ensure_future(begin_for_ever()) for _ in range(8)]
    worker = asyncio.ensure_future(busy(turns, clock, steps, 0))
    for _ in range(20):
        await asyncio.sleep(0)
    assert worker.done()
    for task in tasks:
        task.cancel()


async def test_who_leaves_the_line_keeps_nobody_waiting():
    clock = Clock()
    steps: list[Any] = []
    turns = Turns(clock)
    tasks = [asyncio.ensure_future(busy(turns, clock, steps, name)) for name in range(4)]
    await asyncio.sleep(0)
    for task in tasks[:3]:
        task.cancel()
    await tasks[3]
    assert steps == [3] * 5


async def test_steps_wait_once_they_lead_to_enough_work():
    turns, taken = Turns(Clock()), []
    begun = 0
    while not turns.puts_off(lambda: taken.append("first")):
        begun += 1
    assert 10 <= begun <= 50  # half a millisecond of work
    assert turns.puts_off(lambda: taken.append("second"))
    assert taken == []
    await asyncio.sleep(0)
    assert taken == ["first"]
    await asyncio.sleep(0)
    assert taken == ["first", "second"]
    await asyncio.sleep(0)
    assert not turns.puts_off(lambda: taken.append("third"))


async def test_steps_and_others_wait_in_one_line():
    turns, taken = Turns(Clock()), []
    turns.worked(turns.busy, LONG)
    assert turns.puts_off(lambda: taken.append("before it"))
    other = turns.next(turns.beginning).send(None)  # what it waits for
    assert turns.puts_off(lambda: taken.append("behind it"))
    await asyncio.sleep(0)
    assert (taken, other.done()) == (["before it"], False)
    await asyncio.sleep(0)
    assert (taken, other.done()) == (["before it"], True)
    await asyncio.sleep(0)
    assert taken == ["before it", "behind it"]
