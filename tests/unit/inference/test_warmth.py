"""Endpoints that nobody calls any more, and are kept warm."""

from __future__ import annotations

import asyncio

import pytest

from proxy.ground.background import Background
from proxy.ground.errors import StatusError, StoreError
from proxy.inference.endpoints import TaskType
from proxy.inference.warmth import Warmth
from tests.support.clock import Timeline
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.samples import make_endpoint


class Parts:
    def __init__(self, interval: float = 600.0, task: TaskType = TaskType.TEXT_EMBEDDING) -> None:
        self.time = Timeline()
        self.endpoint = make_endpoint(task)
        self.store = MemoryStore(self.endpoint)
        self.provider = ScriptedProvider([[1.0]])
        self.background = Background()
        self.warmth = Warmth(
            self.store,
            self.provider,
            interval,
            30.0,
            self.background,
            clock=self.time,
            sleep=self.time.sleep,
        )
        self.background.start(self.warmth.run())


@pytest.fixture
async def parts():
    made = Parts()
    yield made
    await made.background.close()


async def test_one_is_called_once_nobody_has_called_it_for_a_while(parts):
    parts.warmth.used(parts.endpoint)
    await parts.time.advance(599)
    assert parts.provider.calls == []
    await parts.time.advance(2)
    assert parts.provider.calls == [("embed", ["how big"])]
    await parts.time.advance(1800)
    assert len(parts.provider.calls) == 4


async def test_one_that_callers_call_is_not(parts):
    for _ in range(20):
        parts.warmth.used(parts.endpoint)
        await parts.time.advance(300)
    assert parts.provider.calls == []


async def test_one_that_nobody_has_used_is_not(parts):
    await parts.time.advance(6000)
    assert parts.provider.calls == []


@pytest.mark.parametrize(
    ("task", "call"),
    [
        (TaskType.SPARSE_EMBEDDING, ("embed_sparse", ["how big"])),
        (TaskType.RERANK, ("rerank", "test query", ["how big"], None, None)),
        (TaskType.COMPLETION, None),
        (TaskType.CHAT_COMPLETION, None),
    ],
)
async def test_chat_models_are_left_alone(task, call):
    parts = Parts(task=task)
    parts.warmth.used(parts.endpoint)
    await parts.time.advance(601)
    assert parts.provider.calls == ([] if call is None else [call])
    await parts.background.close()


async def test_nobody_is_unless_that_is_configured():
    parts = Parts(0.0)
    parts.warmth.used(parts.endpoint)
    await parts.background.settled()
    assert parts.provider.calls == []


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_one_that_is_deleted_or_made_anew_is_no_more(parts, is_deleted):
    parts.warmth.used(parts.endpoint)
    if is_deleted:
        await parts.store.delete("e1")
    else:
        parts.store.endpoints["e1"] = make_endpoint(url="http://other.test/")
    await parts.time.advance(6000)
    assert parts.provider.calls == []
    assert parts.warmth._uses == {}


async def test_a_failure_does_not_end_it(parts):
    parts.warmth.used(parts.endpoint)
    parts.store.failure = StoreError("away")
    await parts.time.advance(601)
    parts.store.failure, parts.provider.outcome = None, StatusError(400, "no")
    await parts.time.advance(600)
    assert len(parts.provider.calls) == 1
    parts.provider.outcome = [[1.0]]
    await parts.time.advance(600)
    assert len(parts.provider.calls) == 2


async def test_of_very_many_the_last_are_kept_warm(parts):
    for number in range(1500):
        parts.warmth.used(make_endpoint(inference_id=f"e{number}"))
    assert len(parts.warmth._uses) == 1000
    assert "e1499" in parts.warmth._uses


async def test_who_calls_meanwhile_is_not_disturbed(parts):
    parts.warmth.used(parts.endpoint)
    parts.provider.outcome = "hang"
    await parts.time.advance(601)
    assert len(parts.background) == 2
    parts.warmth.used(parts.endpoint)
    await asyncio.sleep(0)
    assert parts.warmth._uses["e1"].at == parts.time.now
