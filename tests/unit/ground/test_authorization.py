"""How long a verdict is acted on."""

from __future__ import annotations

import pytest

from proxy.ground.authorization import (
    STREAM_GRACE,
    Allowed,
    Permission,
    confirm,
    confirm_stream,
    held,
)
from proxy.ground.errors import Unauthorized, UpstreamUnavailable
from tests.support.clock import Clock


class Asked:
    """An upstream that says yes for two seconds at a time, or raises."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times = 0
        self.failure: Exception | None = None

    async def __call__(self) -> Allowed:
        self.times += 1
        if self.failure is not None:
            raise self.failure
        return self.yes()

    def yes(self) -> Allowed:
        return Allowed(authenticated=True, expires=self.clock.now + 2)


async def test_a_verdict_that_is_too_old_is_asked_for_again_before_the_action():
    asked = Asked(clock := Clock())
    with held(Permission(asked.yes(), asked, clock)):
        clock.now += 1.9
        await confirm()
        assert asked.times == 0
        clock.now += 0.1
        await confirm()
        await confirm()
        assert asked.times == 1
        clock.now += 2
        asked.failure = Unauthorized("no")
        for _ in range(2):
            with pytest.raises(Unauthorized):
                await confirm()
        assert asked.times == 3
    await confirm()  # of no request
    assert asked.times == 3


def test_it_is_due_once_it_is_too_old():
    permission = Permission((asked := Asked(clock := Clock())).yes(), asked, clock)
    assert not permission.is_due
    clock.now += 2
    assert permission.is_due


async def test_a_stream_is_asked_about_from_time_to_time():
    asked = Asked(clock := Clock())
    with held(Permission(asked.yes(), asked, clock)):
        for _ in range(100):  # seconds
            await confirm_stream()
            clock.now += 1
        assert 9 <= asked.times <= 10
        clock.now += STREAM_GRACE
        asked.failure = UpstreamUnavailable("away")
        before = asked.times
        for _ in range(3):
            await confirm_stream()  # goes on, and does not ask for each event
        assert asked.times == before + 1
        clock.now += STREAM_GRACE
        asked.failure = Unauthorized("no")
        with pytest.raises(Unauthorized):
            await confirm_stream()
