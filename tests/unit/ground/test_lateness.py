"""What a request is told whose time has ended, by what it was waiting for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from proxy.ground.advice import TOO_LATE, Advice
from proxy.ground.lateness import HeldUp, Lateness, advice_when_late, begin, current

PAUSED = Advice("paused", "Resume it.")
LIMITED = Advice("rate_limited", "Send less.")


@pytest.fixture(autouse=True)
def lateness(monkeypatch: pytest.MonkeyPatch) -> Lateness:
    # A variable of its own, as tests without a loop share one context with all others.
    variable: ContextVar[Lateness | None] = ContextVar("lateness", default=None)
    monkeypatch.setattr("proxy.ground.lateness._lateness", variable)
    lateness = Lateness()
    begin(lateness)
    return lateness


def test_an_answer_is_late_unless_something_else_is_waited_for():
    assert advice_when_late() is TOO_LATE
    with HeldUp(PAUSED):
        with HeldUp(LIMITED):
            assert advice_when_late() is LIMITED
        assert advice_when_late() is PAUSED
    assert advice_when_late() is TOO_LATE


def test_it_stays_known_after_a_wait_that_was_cut_off():
    with pytest.raises(asyncio.CancelledError), HeldUp(PAUSED):
        raise asyncio.CancelledError
    assert advice_when_late() is PAUSED
    begin(Lateness())
    assert advice_when_late() is TOO_LATE


def test_a_wait_that_failed_is_over():
    with pytest.raises(KeyError), HeldUp(PAUSED):
        raise KeyError
    assert advice_when_late() is TOO_LATE


def test_no_advice_says_nothing():
    with pytest.raises(asyncio.CancelledError), HeldUp(None):
        raise asyncio.CancelledError
    assert advice_when_late() is TOO_LATE


async def test_tasks_of_a_request_tell_of_their_waits_and_those_of_others_do_not(lateness):
    async def wait() -> None:
        with HeldUp(PAUSED):
            await asyncio.Event().wait()

    async def wait_for_another() -> None:
        begin(Lateness())
        await wait()

    other = asyncio.ensure_future(wait_for_another())
    await asyncio.sleep(0)
    assert current() is lateness
    assert advice_when_late() is TOO_LATE
    own = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    assert advice_when_late() is PAUSED
    for task in (own, other):
        task.cancel()
