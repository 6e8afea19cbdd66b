from __future__ import annotations

import asyncio

import pytest

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.huggingface.retry import Failure, RetryPolicy
from proxy.limits.deadline import NO_DEADLINE, Deadline


class Time:
    """A clock that only sleeping, and attempts that take time, move on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time():
    return Time()


def policy(time: Time, **settings) -> RetryPolicy:
    return RetryPolicy(sleep=time.sleep, clock=time.clock, **settings)


class Attempts:
    """Fails as told, one outcome after the other; the last one repeats."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.made = 0

    async def __call__(self) -> object:
        outcome = self.outcomes[min(self.made, len(self.outcomes) - 1)]
        self.made += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def passing(number: int, after: float | None = None) -> Failure:
    return Failure(StatusError(500, f"failure {number}"), may_pass=True, retry_after=after)


async def run(policy: RetryPolicy, attempt, deadline: Deadline = NO_DEADLINE) -> object:
    """The first outcome of `attempt` that is no failure."""
    retries = policy.start(deadline)
    while isinstance(outcome := await attempt(), Failure):
        await retries.wait(outcome)
    return outcome


async def test_a_success_is_not_repeated(time):
    attempts = Attempts("result")
    assert await run(policy(time), attempts) == "result"
    assert (attempts.made, time.slept) == (1, [])


async def test_a_failure_that_passes_is_tried_again(time):
    attempts = Attempts(passing(1), passing(2), "result")
    assert await run(policy(time), attempts) == "result"
    assert attempts.made == 3


async def test_three_attempts_are_made_and_the_last_failure_is_told(time):
    attempts = Attempts(passing(1), passing(2), passing(3), "too late")
    with pytest.raises(StatusError, match="failure 3"):
        await run(policy(time), attempts)
    assert attempts.made == 3


@pytest.mark.parametrize("error", [IllegalArgument("no"), ValueError("bug"), KeyError("x")])
async def test_other_failures_are_told_at_once(time, error):
    attempts = Attempts(Failure(error) if isinstance(error, ProxyError) else error)
    with pytest.raises(type(error)):
        await run(policy(time), attempts)
    assert attempts.made == 1


async def test_waits_double_and_are_drawn_from_the_upper_half_of_their_bound():
    seen: list[list[float]] = []
    for _ in range(50):
        time = Time()
        with pytest.raises(ProxyError):
            await run(policy(time), Attempts(passing(1)))
        seen.append(time.slept)
    for first, second in seen:
        assert 0.5 <= first <= 1.0
        assert 1.0 <= second <= 2.0
    assert len({first for first, _ in seen}) > 40


async def test_a_wait_has_a_greatest_bound(time):
    with pytest.raises(ProxyError):
        await run(policy(time, attempts=6, initial_delay=2.0, max_delay=3.0), Attempts(passing(1)))
    assert all(1.0 <= wait <= 3.0 for wait in time.slept)
    assert len(time.slept) == 5


async def test_a_provider_that_names_a_time_is_given_it(time):
    await run(policy(time), Attempts(passing(1, 7.0), "result"))
    assert time.slept == [7.0]


async def test_a_shorter_time_than_our_own_wait_does_not_hurry_us(time):
    await run(policy(time), Attempts(passing(1, 0.1), "result"))
    assert 0.5 <= time.slept[0] <= 1.0


async def test_a_time_beyond_the_end_is_not_waited_for(time):
    attempts = Attempts(passing(1, 31.0), "too late")
    with pytest.raises(StatusError, match="failure 1"):
        await run(policy(time), attempts)
    assert (attempts.made, time.slept) == (1, [])


async def test_a_time_beyond_the_end_of_the_request_is_not_waited_for(time):
    attempts = Attempts(passing(1, after=9.0))
    with pytest.raises(StatusError):
        await run(policy(time), attempts, Deadline(time.now + 5.0))
    assert (attempts.made, time.slept) == (1, [])


async def test_no_attempt_begins_after_the_end(time):
    async def slow():
        time.now += 20.0
        return passing(int(time.now))

    with pytest.raises(StatusError, match=r"failure 14[01]"):
        await run(policy(time), slow)
    assert len(time.slept) == 1


async def test_a_wait_can_be_cancelled():
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(RetryPolicy(sleep=sleep), Attempts(passing(1))))
        await waiting.wait()
        task.cancel()
    assert task.cancelled()
