"""How many calls a server has under way, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest

from proxy.huggingface import places
from proxy.huggingface.places import Places
from tests.support.clock import Clock


class Server:
    """Calls that end when they are told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.places = Places(self.clock)
        self.under_way: list[Hashable] = []
        self.begun: list[Hashable] = []
        self._ends: list[asyncio.Future[int | None]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def call(self, *requests: Hashable) -> None:
        self.tasks += [asyncio.ensure_future(self._call(request)) for request in requests]
        await settled()

    async def _call(self, request: Hashable) -> None:
        place = await self.places.turn(request)
        end: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.under_way.append(request)
        self.begun.append(request)
        self._ends.append(end)
        self.places.leave(place, await end)

    async def end(self, status: int | None = None, count: int = 1) -> None:
        """End those that began first."""
        for end in self._ends[:count]:
            end.set_result(status)
        del self._ends[:count], self.under_way[:count]
        self.clock.now += 0.1
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def server():
    """At the end, nothing waits any more."""
    made = Server()
    yield made
    while made.under_way:
        await made.end(count=len(made.under_way))
    await asyncio.gather(*made.tasks, return_exceptions=True)
    assert made.places.under_way == 0
    assert made.places.is_free()


async def test_there_is_no_bound_until_the_server_refuses(server):
    await server.call(*range(100))
    assert len(server.under_way) == 100


@pytest.mark.parametrize("status", [424, 429, 503, 529])
async def test_a_server_that_refuses_gets_half_as_many(server, status):
    await server.call(*range(9))
    await server.end(status)
    await server.call(*range(9))
    assert len(server.under_way) == 8
    await server.end(count=4)
    assert len(server.under_way) == 4


@pytest.mark.parametrize("status", [0, 400, 413, 500, 504])
async def test_other_failures_say_nothing_of_its_load(server, status):
    await server.call(*range(9))
    await server.end(status)
    assert server.places.bound is None


async def test_the_refusals_of_one_moment_count_once(server):
    await server.call(*range(16))
    await server.end(429, count=10)
    assert server.places.bound == 8


async def test_it_gets_one_more_for_each_round_that_it_answers(server):
    await server.call(*range(9))
    await server.end(429)
    await server.end(count=8)
    assert server.places.bound == pytest.approx(5.7, abs=0.1)
    await server.call(*range(20))
    assert len(server.under_way) == 5
    await server.end(count=5)
    assert len(server.under_way) == 6


async def test_as_many_as_it_refused_are_tried_only_after_many_rounds(server):
    await server.call(*range(3))
    await server.end(429)
    await server.end(count=2)
    await server.call(*range(60))
    answered = 0
    while len(server.under_way) < 3:
        await server.end()
        answered += 1
    assert 40 < answered < 60  # two in each round


@pytest.mark.parametrize("capacity", [1, 2, 5])
async def test_a_small_server_seldom_refuses(server, capacity):
    await server.call(*range(1000))
    await server.end(429, count=1000 - capacity)  # nobody knew
    answered = refused = 0
    while answered < 500:
        if (excess := len(server.under_way) - capacity) > 0:
            await server.end(429, count=excess)
            refused += excess
        await server.call(1, 2, 3)  # more wait than there is room for
        await server.end()
        answered += 1
    assert refused < answered / 12


async def test_after_a_calm_minute_it_gets_many_more_if_they_wait(server):
    await server.call(*range(9))
    await server.end(429)
    await server.call(*range(1000))
    server.clock.now += 61
    rounds = 0
    while server.under_way:
        await server.end(count=len(server.under_way))
        rounds += 1
    assert rounds < 15  # 40, if there were only one more in each


async def test_a_calm_minute_ends_the_bound(server):
    await server.call(*range(9))
    await server.end(429)
    server.clock.now += 61
    await server.end()
    assert server.places.bound is None


async def test_the_refusal_of_a_lone_call_ends_the_bound(server):
    """So that a server that is down refuses all who call, and not one after the other."""
    await server.call(*range(3))
    await server.end(503)
    await server.end(503, count=2)
    await server.call(*range(3))
    assert server.places.bound == 1
    assert len(server.under_way) == 1
    await server.end(503)
    assert len(server.under_way) == 2


async def test_requests_take_turns(server):
    """One with a single call waits for no more than a call of each other."""
    await server.call("a", "a", "a")
    await server.end(429)
    await server.call(*"aaaaaaabcc")
    while server.under_way:
        await server.end()
    assert server.begun[3:] == list("abcacaaaaa")


async def test_who_waits_no_longer_takes_no_turn(server):
    await server.call("a", "a")
    await server.end(429)
    await server.call("b", "b", "c")
    server.tasks[2].cancel()
    while server.under_way:
        await server.end()
    assert sorted(server.begun[2:]) == ["b", "c"]


async def test_who_leaves_as_its_turn_comes_passes_it_on():
    places = Places(Clock())
    places.bound = 1
    place = places.take()
    leaving, next_one = (asyncio.ensure_future(places.turn(name)) for name in "bc")
    await settled()
    places.leave(place, None)
    leaving.cancel()
    await next_one
    assert places.under_way == 1


@pytest.fixture
def real_time(server, monkeypatch):
    """Calls are late after 0.1 seconds, by the time of the event loop."""
    monkeypatch.setattr(places, "_LATE", 0.1)
    server.places = Places()
    return server


async def test_calls_that_are_lost_leave_their_places(real_time):
    await real_time.call(*range(5))
    await real_time.end(429)
    await real_time.call("a", "b", "c")
    assert real_time.begun == [*range(5)]
    await asyncio.sleep(0.15)
    assert real_time.begun == [*range(5), "a", "b"]  # as many as it may have
    assert real_time.places.under_way == 2


async def test_calls_that_take_their_usual_time_keep_them(real_time):
    real_time.places._usual = 1.0
    await real_time.call(*range(5))
    await real_time.end(429)
    await real_time.call("a")
    await asyncio.sleep(0.15)
    assert real_time.begun == [*range(5)]


async def test_what_calls_take_is_learned_from_those_that_succeed(server):
    for status, usual in ((None, 2.0), (429, 2.0), (0, 2.0), (None, 3.6)):
        place = server.places.take()
        server.clock.now += 10
        server.places.leave(place, status)
        assert server.places._usual == pytest.approx(usual)
