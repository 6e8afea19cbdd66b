from __future__ import annotations

import asyncio

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
