from __future__ import annotations

import asyncio

import pytest

from proxy.ground.errors import Rejected
from proxy.huggingface import ratelimit
from proxy.huggingface.ratelimit import RateLimiter
from tests.support.samples import make_endpoint


class Time:
    """A clock that sleeping moves on; sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now = max(self.now, self.now + seconds)
        await asyncio.sleep(0)


@pytest.fixture
def time():
    return Time()


def limiter(time: Time, capacity: int = 0) -> RateLimiter:
    return RateLimiter(capacity, clock=time.clock, sleep=time.sleep)


async def test_calls_leave_evenly_spaced(time):
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=60)
    starts = []
    for _ in range(4):
        await limits.wait(endpoint)
        starts.append(time.now)
    assert starts == [0.0, 1.0, 2.0, 3.0]


async def test_a_pause_is_not_saved_up(time):
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=60)
    await limits.wait(endpoint)
    time.now = 100.0
    await limits.wait(endpoint)
    assert time.now == 100.0
    await limits.wait(endpoint)
    assert time.now == 101.0


async def test_those_who_wait_are_served_in_the_order_they_came(time):
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=600)
    served = []

    async def call(number: int) -> None:
        await limits.wait(endpoint)
        served.append((number, round(time.now, 6)))

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(call(number))
    assert served == [(n, round(n * 0.1, 6)) for n in range(5)]


@pytest.mark.parametrize(
    "changes", [{"url": "http://other/"}, {"token": "other"}, {"requests_per_minute": 61}]
)
async def test_another_url_token_or_limit_is_another_group(time, changes):
    limits = limiter(time)
    await limits.wait(make_endpoint(requests_per_minute=60))
    await limits.wait(make_endpoint(**{"requests_per_minute": 60, **changes}))
    assert time.now == 0.0


async def test_endpoints_that_share_all_three_share_the_limit(time):
    limits = limiter(time)
    await limits.wait(make_endpoint(inference_id="one", requests_per_minute=60))
    await limits.wait(make_endpoint(inference_id="two", requests_per_minute=60))
    assert time.now == 1.0


class Held(Time):
    """A sleep that lasts until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.released.wait()
        self.now += seconds


async def test_the_line_has_an_end():
    time = Held()
    limits, endpoint = limiter(time, capacity=3), make_endpoint(requests_per_minute=60)
    await limits.wait(endpoint)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(limits.wait(endpoint))
        await asyncio.sleep(0)
        with pytest.raises(Rejected) as caught:
            limits.check_room(endpoint)
        other = make_endpoint(token="other")  # another group has its own line
        limits.check_room(other)
        await limits.wait(other)
        time.released.set()
    assert (caught.value.status, caught.value.type) == (429, "es_rejected_execution_exception")
    assert caught.value.reason.startswith(
        "Failed to execute task for inference id [e1] because the request service ["
    )
    assert caught.value.reason.endswith("] queue is full")
    limits.check_room(endpoint)  # the line is empty again
    await limits.wait(endpoint)


async def test_a_capacity_of_zero_is_no_bound(time):
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=6000)
    async with asyncio.TaskGroup() as group:
        for _ in range(3000):
            limits.check_room(endpoint)
            group.create_task(limits.wait(endpoint))
            await asyncio.sleep(0)


async def test_one_who_leaves_the_line_costs_the_others_nothing():
    time = Held()
    limits, endpoint = limiter(time, capacity=2), make_endpoint(requests_per_minute=60)
    await limits.wait(endpoint)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(limits.wait(endpoint))
        second = group.create_task(limits.wait(endpoint))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        limits.check_room(endpoint)
        third = group.create_task(limits.wait(endpoint))
        time.released.set()
    assert first.cancelled()
    assert second.done()
    assert third.done()
    assert time.now == 2.0


async def test_groups_that_are_idle_are_forgotten(time):
    limits = limiter(time)
    for number in range(ratelimit._MANY + 10):
        await limits.wait(make_endpoint(token=f"t{number}", requests_per_minute=60_000))
        time.now += 1.0
    assert len(limits._groups) <= ratelimit._MANY


async def test_all_wait_when_the_provider_asks_for_it(time):
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=600)
    limits.let_rest(endpoint, 3.0)
    assert limits.is_resting(endpoint)
    assert not limits.take_turn(endpoint)
    assert limits.take_turn(make_endpoint(token="other"))
    starts = []
    for _ in range(3):
        await limits.wait(endpoint)
        starts.append(round(time.now, 6))
    assert starts == [3.0, 3.1, 3.2]
    assert not limits.is_resting(endpoint)


async def test_those_who_wait_already_wait_longer():
    time = Held()
    limits, endpoint = limiter(time), make_endpoint(requests_per_minute=60)
    await limits.wait(endpoint)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):  # the first waits for its own time already, the second for the first
            group.create_task(limits.wait(endpoint))
        await asyncio.sleep(0)
        limits.let_rest(endpoint, 4.0)
        time.released.set()
    assert time.now == 4.0


async def test_a_shorter_rest_ends_no_longer_one(time):
    limits, endpoint = limiter(time), make_endpoint()
    limits.let_rest(endpoint, 3.0)
    limits.let_rest(endpoint, 1.0)
    await limits.rest(endpoint)
    assert time.now == 3.0


async def test_a_long_rest_is_not_waited_for(time):
    limits, endpoint = limiter(time), make_endpoint()
    limits.let_rest(endpoint, 60.0)
    assert limits.take_turn(endpoint)


async def test_rests_that_are_over_are_forgotten(time):
    limits = limiter(time)
    for number in range(100):
        limits.let_rest(make_endpoint(token=str(number)), 1.0)
        time.now += 1.0
    assert len(limits._rests) == 1
