"""Endpoints that other processes have deleted."""

from __future__ import annotations

import pytest

from proxy.ground.background import Background
from proxy.ground.errors import RecordRefused, StoreError, StoreMissing
from proxy.inference.departed import Departed
from tests.support.clock import Timeline
from tests.support.memorystore import MemoryStore
from tests.support.samples import make_endpoint


class Parts:
    def __init__(self) -> None:
        self.time = Timeline()
        names = [f"e{number:03}" for number in range(120)]
        self.store = MemoryStore(*[make_endpoint(inference_id=name) for name in names])
        self.known = dict.fromkeys(names, "text_embedding")
        self.background = Background()
        departed = Departed(
            self.store, lambda: sorted(self.known.items()), self.forget, sleep=self.time.sleep
        )
        self.background.start(departed.run())

    def forget(self, inference_id: str) -> None:
        del self.known[inference_id]


@pytest.fixture
async def parts():
    made = Parts()
    yield made
    await made.background.close()


async def test_what_the_store_has_no_more_is_forgotten_wherever_it_stands(parts):
    del parts.store.endpoints["e003"], parts.store.endpoints["e070"], parts.store.endpoints["e119"]
    await parts.time.advance(61)
    assert (len(parts.known), "e003" in parts.known) == (119, False)
    await parts.time.advance(120)
    assert len(parts.known) == 117
    del parts.store.endpoints["e000"]
    await parts.time.advance(180)
    assert "e000" not in parts.known


async def test_so_is_what_was_created_anew_for_another_task(parts):
    parts.known["e000"] = "rerank"
    await parts.time.advance(61)
    assert "e000" not in parts.known


async def test_a_record_that_must_not_be_used_is_there(parts):
    parts.store.failure = RecordRefused("damaged")
    await parts.time.advance(61)
    assert (len(parts.known), parts.store.reads) == (120, 50)


@pytest.mark.parametrize("failure", [StoreError("away"), StoreMissing("e000")])
async def test_a_store_that_is_away_says_nothing(parts, failure):
    parts.store.failure = failure
    parts.store.endpoints.clear()
    await parts.time.advance(600)
    assert (len(parts.known), parts.store.reads) == (120, 10)
    parts.store.failure = None
    await parts.time.advance(180)
    assert parts.known == {}
