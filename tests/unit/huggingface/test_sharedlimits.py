"""Several proxies that share rate limits, on a clock that a test moves on."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.ground.errors import Rejected
from tests.support.samples import make_endpoint
from tests.support.sharing import LIMIT, World


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.close()


@pytest.mark.parametrize("count", [1, 3, 8])
async def test_all_proxies_together_keep_the_limit_and_use_it(world, count):
    world.busy(count)
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


@pytest.mark.parametrize("seconds", [0.6, 1.8])
async def test_so_they_do_with_a_slow_store(world, seconds):
    world.seconds = seconds
    world.busy(3, callers=30)
    await world.time.advance(10.0)
    world.left.clear()
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


async def test_so_they_do_with_clocks_that_differ(world):
    for fast in (0.0, 3.0, -40.0):
        world.keep_calling(world.proxy(fast))
    await world.time.advance(130.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(130.0) >= 0.95


async def test_so_they_do_when_some_come_later_and_others_have_little_to_do(world):
    world.keep_calling(world.proxy(), callers=30)
    world.keep_calling(world.proxy(), callers=1, pause=1.0)
    await world.time.advance(40.0)
    world.keep_calling(world.proxy())
    await world.time.advance(100.0)
    assert world.most_in_a_minute <= LIMIT
    assert world.used(140.0) >= 0.95


async def test_the_note_is_not_written_for_each_call(world):
    world.keep_calling(world.proxy(), callers=1, pause=0.2)
    await world.time.advance(30.0)
    assert len(world.left) > 100
    assert world.note.changes < 60


async def test_who_calls_now_and_then_waits_for_the_store_only(world):
    limiter = world.proxy()
    for _ in range(3):
        began = world.time()
        calling = asyncio.ensure_future(world.call(limiter))
        await world.time.advance(0.04)
        assert calling.done()
        assert world.left[-1] - began < 0.04
        await world.time.advance(10.0)


async def test_a_limit_of_few_calls_is_shared_too(world):
    endpoint = make_endpoint(requests_per_minute=6)
    proxies = [world.proxy(), world.proxy()]
    calls = [asyncio.ensure_future(world.call(one, endpoint)) for one in proxies * 10]
    await world.time.advance(200.0)
    assert world.most_in_a_minute <= 6
    assert len(world.left) >= 19
    assert not [call for call in calls if call.done() and call.exception()]


async def test_the_log_tells_when_the_store_is_away(world, caplog):
    caplog.set_level(logging.INFO)
    world.busy(3)
    await world.time.advance(20.0)
    world.be_away(True)
    await world.time.advance(30.0)
    assert caplog.text.count("keeping to one part in 3 of each") == 3
    world.be_away(False)
    await world.time.advance(10.0)
    assert caplog.text.count("are shared again") == 3


async def test_the_line_has_an_end(world):
    limiter = world.proxy(capacity=2)
    endpoint = make_endpoint(requests_per_minute=1)
    calls = [asyncio.ensure_future(world.call(limiter, endpoint)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Rejected) as caught:
        await world.call(limiter, endpoint)
    assert ("Retry-After", "1") in caught.value.headers
    for call in calls:
        call.cancel()


async def test_who_leaves_the_line_costs_the_others_nothing(world):
    limiter = world.proxy()
    endpoint = make_endpoint(requests_per_minute=60)
    calls = [asyncio.ensure_future(world.call(limiter, endpoint)) for _ in range(4)]
    await world.time.advance(0.5)
    calls[1].cancel()
    await world.time.advance(3.0)
    assert len(world.left) == 3
