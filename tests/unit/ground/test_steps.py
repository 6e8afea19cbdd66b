"""Steps that are put off: in order, a few in each turn of the loop."""

from __future__ import annotations

import asyncio

from proxy.ground.steps import PER_TURN, Steps


async def test_a_few_are_taken_in_each_turn_one_after_the_other():
    steps, taken = Steps(), []

    def step_of(name):
        def step():
            taken.append(name)
            steps.put_off(step)

        return step

    for number in range(PER_TURN + 2):
        steps.put_off(step_of(number))
    await asyncio.sleep(0)
    assert taken == list(range(PER_TURN))
    await asyncio.sleep(0)
    assert taken[PER_TURN:] == [PER_TURN, PER_TURN + 1, *range(PER_TURN - 2)]


async def test_a_single_one_is_taken_once_in_each_turn():
    steps, taken = Steps(), []

    def step():
        taken.append(1)
        steps.put_off(step)

    steps.put_off(step)
    for count in range(1, 4):
        await asyncio.sleep(0)
        assert len(taken) == count


async def test_what_is_put_off_twice_is_taken_once():
    steps, taken = Steps(), []

    def step():
        taken.append(1)

    steps.put_off(step)
    steps.put_off(step)
    for _ in range(3):
        await asyncio.sleep(0)
    assert taken == [1]


async def test_one_that_fails_costs_the_others_nothing():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    steps, taken = Steps(), []

    def fail():
        raise ValueError

    steps.put_off(fail)
    steps.put_off(lambda: taken.append(1))
    for _ in range(2):
        await asyncio.sleep(0)
    assert taken == [1]
    assert [type(fault["exception"]) for fault in faults] == [ValueError]
