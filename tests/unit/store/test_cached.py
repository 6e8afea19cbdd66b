from __future__ import annotations

import asyncio

import pytest

from proxy.ground.errors import (
    EndpointAlreadyExists,
    EndpointNotFound,
    KeyMismatch,
    RecordRefused,
    StoreError,
    StoreMissing,
    StoreOverloaded,
)
from proxy.inference.ports import Known
from proxy.store.cached import PAUSE, CachedStore, size_of
from tests.support.clock import Clock
from tests.support.memorystore import MemoryStore
from tests.support.storeconformance import endpoint, with_token

ENDPOINT = size_of(endpoint())  # bytes in the cache


@pytest.fixture
def inner():
    return MemoryStore(endpoint())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(inner, clock):
    return CachedStore(inner, 1.0, max_staleness=60.0, max_bytes=3 * ENDPOINT, clock=clock)


def token(found):
    return found.endpoint.secret_settings.api_key


async def test_an_answer_is_good_for_a_second(store, inner, clock):
    for _ in range(3):
        assert await store.get("e1") == Known(endpoint())
    assert inner.reads == 1
    inner.endpoints["e1"] = with_token("new")(endpoint())
    clock.now += 0.99
    assert await store.get("e1") == Known(endpoint())
    clock.now += 0.01
    assert token(await store.get("e1")) == "new"
    assert inner.reads == 2
    assert not (await store.get("e1")).stale


async def test_an_endpoint_deleted_elsewhere_is_gone_within_a_second(store, inner, clock):
    await store.get("e1")
    inner.endpoints.clear()
    clock.now += 1
    for _ in range(2):
        with pytest.raises(EndpointNotFound):
            await store.get("e1")
    inner.failure = StoreError("away")
    with pytest.raises(StoreError):  # nor is it remembered while the store is away
        await store.get("e1")


async def test_that_there_is_none_is_not_remembered(store, inner):
    for _ in range(2):
        with pytest.raises(EndpointNotFound):
            await store.get("e2")
    inner.endpoints["e2"] = endpoint("e2")
    assert await store.get("e2")
    assert inner.reads == 3


async def test_own_changes_are_seen_at_once(store):
    await store.get("e1")
    await store.update("e1", with_token("new"))
    assert token(await store.get("e1")) == "new"
    await store.delete("e1")
    with pytest.raises(EndpointNotFound):
        await store.get("e1")
    await store.create(endpoint(token="third"))
    assert token(await store.get("e1")) == "third"
    assert len((await store.find()).endpoints) == 1


async def test_a_read_begun_before_a_change_is_not_kept_after_it(store, inner):
    inner.gate = asyncio.Event()
    reading = asyncio.ensure_future(store.get("e1"))
    await asyncio.sleep(0)
    assert inner.reads == 1
    gate, inner.gate = inner.gate, None
    await store.update("e1", with_token("new"))
    assert token(await store.get("e1")) == "new"  # without waiting for the old read
    gate.set()
    assert await reading == Known(endpoint())
    assert token(await store.get("e1")) == "new"


async def test_a_change_that_failed_leaves_nothing_to_trust(store, inner):
    await store.get("e1")
    inner.endpoints["e1"] = with_token("new")(endpoint())
    with pytest.raises(EndpointAlreadyExists):
        await store.create(endpoint())
    assert token(await store.get("e1")) == "new"


async def test_reads_at_once_are_one(store, inner):
    inner.gate = asyncio.Event()
    reads = [asyncio.ensure_future(store.get("e1")) for _ in range(10)]
    await asyncio.sleep(0)
    assert inner.reads == 1
    reads[0].cancel()
    for _ in range(5):  # until another has taken over
        await asyncio.sleep(0)
    inner.gate.set()
    assert await asyncio.gather(*reads[1:]) == [Known(endpoint())] * 9
    assert inner.reads == 2


async def _reading_while_another_process(store, inner, clock, change):
    """What three calls get that share a read: who began it, and who came 0.5 and 1.1 s later.

    The other process makes its change as the second one comes.
    """
    gate = inner.gate = asyncio.Event()
    first = asyncio.ensure_future(store.get("e1"))
    await asyncio.sleep(0)
    clock.now += 0.5
    inner.gate = None
    change()
    soon = asyncio.ensure_future(store.get("e1"))
    await asyncio.sleep(0)
    clock.now += 0.6
    late = asyncio.ensure_future(store.get("e1"))
    await asyncio.sleep(0)
    assert inner.reads == 1
    gate.set()
    return await asyncio.gather(first, soon, late, return_exceptions=True)


async def test_a_slow_read_is_shared_for_a_second(store, inner, clock):
    new = with_token("new")(endpoint())
    found = await _reading_while_another_process(
        store, inner, clock, lambda: inner.endpoints.update(e1=new)
    )
    assert found == [Known(endpoint()), Known(endpoint()), Known(new)]


async def test_that_there_is_none_is_not_told_to_who_asked_later(store, inner, clock):
    made = inner.endpoints.pop("e1")
    first, *others = await _reading_while_another_process(
        store, inner, clock, lambda: inner.endpoints.update(e1=made)
    )
    assert isinstance(first, EndpointNotFound)
    assert others == [Known(made), Known(made)]


async def test_memory_is_bounded(store, inner):
    names = [f"x{n}" for n in range(5)]
    inner.endpoints = {name: endpoint(name) for name in names}
    for name in [*names, *reversed(names)]:
        await store.get(name)
    assert inner.reads == 5 + 2  # the three read last are remembered


async def test_what_is_large_takes_the_place_of_many(store, inner):
    large = endpoint("large").with_service_settings(model_id="x" * (ENDPOINT // 2))
    inner.endpoints |= {"large": large, "e2": endpoint("e2")}
    for name in ("e1", "e2", "large"):
        await store.get(name)
    assert list(store._entries) == ["e2", "large"]
    # One wide character makes each of a text take four bytes.
    wide = large.with_service_settings(model_id="x" * (ENDPOINT // 2) + "\U0001f600")
    inner.endpoints |= {"large": wide}
    await store.update("large", lambda _: wide)
    await store.get("large")
    assert list(store._entries) == []  # too large to be remembered at all
    assert store._bytes == 0


# While the store is away


async def test_what_was_known_is_used_while_the_store_is_away(store, inner, clock):
    await store.get("e1")
    inner.failure = StoreError("away")
    clock.now += 59
    for _ in range(3):
        assert await store.get("e1") == Known(endpoint(), stale=True)
    assert store.stale_answers == 3
    assert inner.reads == 2  # a store that is away is not asked again at once
    with pytest.raises(StoreError):
        await store.get("unknown")
    inner.failure = None
    clock.now += PAUSE
    assert not (await store.get("e1")).stale
    assert store.stale_answers == 3


async def test_what_was_known_is_used_while_nothing_at_all_is_there(store, inner, clock):
    await store.get("e1")
    inner.failure = StoreMissing("e1")
    clock.now += 59
    for _ in range(2):
        assert await store.get("e1") == Known(endpoint(), stale=True)
    with pytest.raises(StoreMissing):
        await store.update("e1", with_token("new"))
    assert await store.get("e1") == Known(endpoint(), stale=True)
    inner.failure = None
    inner.endpoints = {"e2": endpoint("e2")}  # somebody made the store anew
    with pytest.raises(EndpointNotFound):
        await store.get("e1")
    inner.failure = StoreMissing("e1")
    with pytest.raises(StoreMissing):  # nor is it remembered any more
        await store.get("e1")


async def test_what_was_to_be_deleted_is_not_used_though_nothing_is_there(store, inner):
    await store.get("e1")
    inner.failure = StoreMissing("e1")
    with pytest.raises(StoreMissing):
        await store.delete("e1")
    with pytest.raises(StoreMissing):
        await store.get("e1")


async def test_not_for_longer_than_stated(store, inner, clock):
    await store.get("e1")
    inner.failure = StoreError("away")
    clock.now += 60
    with pytest.raises(StoreError):
        await store.get("e1")


async def test_a_store_that_hangs_does_not_hold_up_what_is_known(store, inner, clock):
    await store.get("e1")
    inner.gate = asyncio.Event()
    clock.now += 1
    async with asyncio.timeout(5):
        assert await store.get("e1") == Known(endpoint(), stale=True)
        assert await store.get("e1") == Known(endpoint(), stale=True)
    assert inner.reads == 2


@pytest.mark.parametrize("failure", [RecordRefused("changed"), KeyMismatch("other key")])
async def test_a_record_that_was_meddled_with_is_not_replaced_by_memory(
    store, inner, clock, failure
):
    await store.get("e1")
    inner.failure = failure
    clock.now += 1
    with pytest.raises(type(failure)):
        await store.get("e1")
    inner.failure = StoreError("away")
    with pytest.raises(StoreError, match="away"):
        await store.get("e1")


@pytest.mark.parametrize("failure", [StoreError("away"), StoreOverloaded("full")])
async def test_a_change_that_nobody_knows_of_ends_freshness_but_not_use(
    store, inner, clock, failure
):
    await store.get("e1")
    inner.failure = failure
    for change in (store.delete("e1"), store.update("e1", with_token("new"))):
        with pytest.raises(StoreError):
            await change
    assert await store.get("e1") == Known(endpoint(), stale=True)
    clock.now += PAUSE
    inner.failure = None
    assert not (await store.get("e1")).stale
