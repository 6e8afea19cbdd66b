from __future__ import annotations

import asyncio
import gc
import traceback
import weakref

import pytest

from proxy.ground.singleflight import SingleFlight


class Calls:
    """A call that waits until it is let go, then returns how often it was made, or fails."""

    def __init__(self) -> None:
        self.made = 0
        self.started = asyncio.Event()
        self.let_go = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.made += 1
        number = self.made
        self.started.set()
        await self.let_go.wait()
        if self.failure is not None:
            raise self.failure
        return number


async def begun(flights: SingleFlight[str, int], call: Calls, key: str, count: int):
    """Tasks that all wait for the outcome of the one call that the first of them has made."""
    tasks = [asyncio.ensure_future(flights.run(key, call)) for _ in range(count)]
    await call.started.wait()
    return tasks


async def test_calls_for_one_key_share_their_outcome():
    flights, call = SingleFlight[str, int](), Calls()
    tasks = await begun(flights, call, "a", 5)
    call.let_go.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await flights.run("a", call) == 2  # a later one is a new call


async def test_calls_for_different_keys_are_made_beside_each_other():
    flights, call = SingleFlight[str, int](), Calls()
    tasks = [*await begun(flights, call, "a", 1), *await begun(flights, call, "b", 1)]
    call.let_go.set()
    assert await asyncio.gather(*tasks) == [1, 2]


async def test_a_failure_is_shared_too():
    flights, call = SingleFlight[str, int](), Calls()
    call.failure = ValueError("no")
    tasks = await begun(flights, call, "a", 3)
    call.let_go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes == [call.failure] * 3


async def test_everyone_sees_where_a_failure_comes_from_and_nothing_of_the_others():
    flights, call = SingleFlight[str, int](), Calls()
    call.failure = ValueError("no")
    seen = []

    async def run() -> None:
        try:
            await flights.run("a", call)
        except ValueError as error:
            seen.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])

    tasks = [asyncio.ensure_future(run()) for _ in range(5)]
    await call.started.wait()
    call.let_go.set()
    await asyncio.gather(*tasks)
    assert seen == [["run", "run", "_lead", "__call__"]] * 5


async def test_a_failure_that_is_over_leaves_nothing_of_those_who_waited():
    flights, goes_on = SingleFlight[str, int](), asyncio.Event()

    async def fail() -> int:
        await goes_on.wait()
        raise ValueError

    held: list[weakref.ref[Calls]] = []

    async def run() -> None:
        mine = Calls()
        held.append(weakref.ref(mine))
        await flights.run("a", fail)

    tasks = [asyncio.ensure_future(run()) for _ in range(3)]
    await asyncio.sleep(0)
    gc.disable()
    try:
        goes_on.set()
        await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), ValueError) for task in tasks)
        tasks.clear()
        assert [one() for one in held] == [None] * 3
    finally:
        gc.enable()


async def test_another_takes_over_when_the_caller_is_cancelled():
    flights, call = SingleFlight[str, int](), Calls()
    first, *others = await begun(flights, call, "a", 3)
    call.started.clear()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await call.started.wait()
    call.let_go.set()
    assert await asyncio.gather(*others) == [2, 2]


async def test_one_that_waits_can_be_cancelled_alone():
    flights, call = SingleFlight[str, int](), Calls()
    first, second, third = await begun(flights, call, "a", 3)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    call.let_go.set()
    assert [await first, await third] == [1, 1]
