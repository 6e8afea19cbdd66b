"""Long work that lets others work."""

from __future__ import annotations

import asyncio

from proxy.limits.turns import Turns, Worker
from tests.support.clock import Clock


async def test_in_each_turn_of_the_loop_one_of_the_busy_goes_on():
    clock, steps = Clock(), []
    turns = Turns(clock)

    async def busy(name: int) -> None:
        worker = Worker(turns)
        for _ in range(5):
            clock.now += 1
            await worker.pause()
            steps.append(name)

    async def idle() -> int:
        before = len(steps)
        await asyncio.sleep(0)
        return len(steps) - before

    tasks = [asyncio.ensure_future(busy(name)) for name in range(8)]
    while not all(task.done() for task in tasks):
        assert await idle() <= 1
    assert len(steps) == 40
    assert set(steps[:8]) == set(range(8))  # nobody goes twice before all have gone


async def test_little_work_waits_for_nobody():
    clock = Clock()
    turns = Turns(clock)
    worker = Worker(turns)
    async with turns._line:  # somebody has the turn
        await worker.pause()
        clock.now += 1
        worker.has_waited()
        await worker.pause()
