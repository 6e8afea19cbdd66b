"""Rate limits of several proxies whose store cannot be used for a while, by all or some of them."""

from __future__ import annotations

import asyncio

import pytest

from proxy.huggingface.leases import HOLD, SILENT
from tests.support.samples import make_endpoint
from tests.support.sharing import LIMIT, World

BEFORE = 20.37  # seconds until the store cannot be used
KNOWN = 5.0  # seconds in which three proxies that start together have shared what there is


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.close()


async def all_is_used_after(world: World, seconds: float, least: float = 0.95) -> None:
    """In no minute more than the limit, and in none less than this part of it."""
    began = world.left[0]
    await world.time.advance(seconds)
    assert world.most_in_a_minute <= LIMIT
    assert world.least_used(began + KNOWN, world.time()) >= least


@pytest.mark.parametrize("seconds", [2.0, 10.0, 30.0, 70.0])
@pytest.mark.parametrize("how", ["away", "stuck"])
async def test_an_outage_costs_nothing(world, seconds, how):
    fail = world.be_away if how == "away" else world.be_stuck
    world.busy(3)
    await world.time.advance(BEFORE)
    fail(True)
    await world.time.advance(seconds)
    fail(False)
    await all_is_used_after(world, 70.0)


@pytest.mark.parametrize("phase", [0.0, 0.11, 0.23, 0.31, 0.43])
async def test_it_does_not_matter_when_it_begins(world, phase):
    world.busy(3)
    await world.time.advance(BEFORE + phase)
    world.be_away(True)
    await world.time.advance(10.0 + 2 * phase)
    world.be_away(False)
    await all_is_used_after(world, 50.0)


async def test_nor_whether_it_ends_for_all_at_once(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    world.be_away(True)
    for number, seconds in enumerate((30.0, 3.0, 8.0)):
        await world.time.advance(seconds)
        world.be_away(False, number)
    await all_is_used_after(world, 70.0)


@pytest.mark.parametrize("how", ["away", "stuck"])
async def test_one_that_is_cut_off_alone_goes_on_with_its_part(world, how):
    fail = world.be_away if how == "away" else world.be_stuck
    world.busy(3)
    await world.time.advance(BEFORE)
    fail(True, 1)
    await world.time.advance(70.0)
    fail(False, 1)
    await all_is_used_after(world, 70.0)


async def test_a_store_that_comes_and_goes_costs_nothing(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    for number in range(12):
        world.be_away(True, *range(number % 4))
        await world.time.advance(2.5)
        world.be_away(False)
        await world.time.advance(1.5)
    await all_is_used_after(world, 60.0)


async def test_a_proxy_that_joins_after_an_outage_takes_nobody_s_part(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    world.be_away(True)
    await world.time.advance(10.0)
    world.busy(1)
    world.be_away(True)
    await world.time.advance(SILENT + 10.0)
    world.be_away(False, 3)
    await world.time.advance(5.0)
    world.be_away(False)
    await all_is_used_after(world, 70.0)


async def test_after_a_long_outage_all_come_back_to_their_parts(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    world.be_away(True)
    await world.time.advance(HOLD + 60.0)
    for number in range(3):
        world.be_away(False, number)
        await world.time.advance(4.0)
    await all_is_used_after(world, 70.0)


async def test_what_is_lent_is_the_owner_s_again_when_the_store_is_away(world):
    busy, seldom = world.proxy(), world.proxy()
    calls = [asyncio.ensure_future(world.call(limiter)) for limiter in (busy, seldom)]
    await world.time.advance(60.0)
    assert all(call.done() for call in calls)
    world.be_away(True)
    await world.time.advance(1.0)
    began = world.time()
    world.left.clear()
    world.keep_calling(seldom)
    await world.time.advance(70.0)
    assert world.left[0] < began + 11.0
    assert len(world.left) >= 0.95 * 59.0 * LIMIT / 60 / 2


@pytest.mark.parametrize("limit", [6, 20, 100])
async def test_limits_that_cannot_be_divided_are_kept_too(world, limit):
    endpoint = make_endpoint(requests_per_minute=limit)
    world.busy(3, callers=20, endpoint=endpoint)
    await world.time.advance(40.0)
    world.be_away(True)
    await world.time.advance(150.0)
    world.be_away(False)
    await world.time.advance(70.0)
    assert world.most_in_a_minute <= limit
    assert len(world.left) >= 0.94 * limit * 260 / 60


async def test_the_part_of_one_that_ends_is_used_at_once(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    await world.end(1)
    await all_is_used_after(world, 70.0)


async def test_the_part_of_one_that_is_killed_is_used_after_a_while(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    await world.kill(1)
    await all_is_used_after(world, HOLD, 0.64)
    world.left = [at for at in world.left if at > world.time() - 1.0]
    await all_is_used_after(world, 70.0)


async def test_those_that_are_started_in_place_of_all_that_were_killed_have_their_parts_soon(world):
    world.busy(3)
    await world.time.advance(BEFORE)
    for number in range(3):
        await world.kill(number)
    world.busy(3)
    await world.time.advance(SILENT + 5.0)
    world.left = [at for at in world.left if at > world.time() - 1.0]
    await all_is_used_after(world, 70.0)
