"""What is cut off when its time is over, and what is told then."""

from __future__ import annotations

import asyncio
import math

import pytest

from proxy.ground.advice import TOO_LATE
from proxy.ground.errors import ProxyError, RequestTimedOut
from proxy.inference.within import Within, timed_out, until
from proxy.limits.deadline import NO_DEADLINE, Deadline


class Late(ProxyError):
    """Tells the seconds."""


def late(seconds: float) -> ProxyError:
    return Late(f"{seconds}")


async def test_what_takes_too_long_is_cut_off():
    with pytest.raises(Late, match=r"0\.01"), Within(0.01, late):
        await asyncio.Event().wait()


async def test_what_ends_in_time_is_not():
    with Within(60, late) as deadline:
        await asyncio.sleep(0)
    assert 0 < deadline.seconds_left() <= 60


async def test_a_negative_number_is_no_limit():
    with Within(-1, late) as deadline:
        await asyncio.sleep(0)
    assert deadline == NO_DEADLINE


async def test_a_timeout_of_something_within_counts_as_its_own():
    with pytest.raises(Late), Within(60, late):
        raise TimeoutError


async def test_other_errors_and_cancellation_pass():
    with pytest.raises(ValueError, match="other"), Within(60, late):
        raise ValueError("other")
    with pytest.raises(asyncio.CancelledError), Within(60, late):
        raise asyncio.CancelledError


async def test_a_task_that_others_cancel_too_stays_cancelled():
    async def wait() -> None:
        with Within(0, late):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(wait())
        await asyncio.sleep(0)  # it waits, and its time is over in the next turn
        asyncio.get_running_loop().call_soon(task.cancel)
    assert task.cancelled()


async def test_a_task_goes_on_after_what_was_cut_off():
    with pytest.raises(Late), Within(0, late):
        await asyncio.Event().wait()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_until_a_deadline():
    told = r"timed out after \[0s\] for inference id \[x\]"
    with pytest.raises(RequestTimedOut, match=told), until(Deadline(-math.inf), "x"):
        await asyncio.Event().wait()
    with until(NO_DEADLINE, "x") as deadline:
        await asyncio.sleep(0)
    assert deadline == NO_DEADLINE


def test_what_is_told():
    error = timed_out("my-id", 1.5)
    assert error.reason == "Request timed out after [1.5s] for inference id [my-id]"
    assert error.advice == TOO_LATE
