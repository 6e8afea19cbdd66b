"""Endpoints that were created while their provider was starting."""

from __future__ import annotations

import asyncio

import pytest

from proxy.ground.advice import WAKING_UP, Advice
from proxy.ground.background import Background
from proxy.ground.errors import EndpointAlreadyExists, RequestTimedOut, StatusError, StoreError
from proxy.inference.dimensions import DimensionsFinder
from proxy.inference.endpoints import TaskType
from proxy.inference.maintained import MaintainedProvider
from proxy.inference.requests import InferenceRequest
from proxy.inference.service import InferenceService
from proxy.inference.warmth import Warmth
from tests.support.clock import Clock, settled
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.samples import PROFILE, make_endpoint
from tests.support.services import failing


def starting() -> StatusError:
    error = StatusError(400, "Received a rate limit status code")
    return error.advised(Advice(WAKING_UP, "wait", provider_status=503))


class Parts:
    """A service, what it stands on, and what completes its endpoints."""

    def __init__(self, outcome: object, *, takes_starting: bool = True) -> None:
        self.store = MemoryStore()
        self.provider = ScriptedProvider(outcome)
        self.background = Background()
        self.clock = Clock()
        self.dimensions = DimensionsFinder(
            self.store, self.provider, 30.0, self.background, self.clock
        )
        warmth = Warmth(self.store, self.provider, 0.0, 30.0, self.background)
        self.service = InferenceService(
            self.store,
            MaintainedProvider(self.provider, self.dimensions, warmth, None),
            30.0,
            PROFILE,
            trial_provider=self.provider,
            takes_starting=takes_starting,
        )

    @property
    def settings(self):
        return self.store.endpoints["e1"].service_settings

    async def put(self, **settings):
        return await self.service.put(make_endpoint(**settings), None, nobody)


async def nobody() -> bool:
    return False


async def somebody() -> bool:
    return True


class TestPut:
    async def test_an_endpoint_that_starts_is_stored_untried(self):
        parts = Parts(starting())
        created = await parts.put(similarity="l2_norm")
        assert not created.tried
        assert parts.store.endpoints["e1"] == created.endpoint
        assert (parts.settings.dimensions, parts.settings.similarity) == (None, "l2_norm")

    async def test_it_is_refused_unless_that_is_configured(self):
        parts = Parts(starting(), takes_starting=False)
        error = await failing(parts.put())
        assert (error.status, parts.store.endpoints) == (400, {})

    @pytest.mark.parametrize("state", ["bad_token", "wrong_url", "failed"])
    async def test_another_failure_is_one(self, state):
        parts = Parts(StatusError(400, "no").advised(Advice(state, "", provider_status=503)))
        await failing(parts.put())
        assert parts.store.endpoints == {}

    async def test_its_id_must_be_free_all_the_same(self):
        parts = Parts(starting())
        error = await failing(parts.service.put(make_endpoint(), None, somebody))
        assert isinstance(error, EndpointAlreadyExists)


class TestFirstUse:
    async def used(self, parts: Parts) -> None:
        endpoint = parts.store.endpoints["e1"]
        await parts.service.infer(endpoint, InferenceRequest(input=["a"]), None)
        await parts.background.settled()

    async def test_the_first_vector_tells_the_size(self):
        parts = Parts(starting())
        await parts.put()
        parts.provider.outcome = [[1.0, 2.0, 3.0]]
        await self.used(parts)
        assert (parts.settings.dimensions, parts.settings.similarity) == (3, "cosine")

    async def test_what_is_known_stays(self):
        parts = Parts([[1.0, 2.0]])
        await parts.put()
        parts.provider.outcome = [[1.0, 2.0, 3.0]]
        await self.used(parts)
        assert parts.settings.dimensions == 2

    async def test_the_caller_does_not_wait_for_the_store(self):
        parts = Parts(starting())
        await parts.put()
        parts.provider.outcome = [[1.0]]
        endpoint, parts.store.gate = parts.store.endpoints["e1"], asyncio.Event()
        for _ in range(3):
            await parts.service.infer(endpoint, InferenceRequest(input=["a"]), None)
        assert len(parts.background) == 1
        await parts.background.close()

    async def test_a_store_that_fails_is_tried_again_with_the_next_vector(self):
        parts = Parts(starting())
        await parts.put()
        parts.provider.outcome = [[1.0]]
        parts.store.failure = StoreError("away")
        await self.used(parts)
        parts.store.failure = None
        await self.used(parts)
        assert parts.settings.dimensions == 1

    async def test_an_endpoint_that_was_made_anew_meanwhile_stays_as_it_is(self):
        parts = Parts(starting())
        await parts.put()
        old = parts.store.endpoints["e1"]
        parts.store.endpoints["e1"] = make_endpoint(url="http://other.test/")
        parts.dimensions.note(old, [[1.0]])
        await parts.background.settled()
        assert parts.settings.dimensions is None


class TestCompleted:
    """For the semantic layer, which needs to know the size before it has a vector."""

    async def test_its_provider_is_called_once(self):
        parts = Parts(starting())
        await parts.put()
        parts.provider.outcome, endpoint = [[1.0, 2.0]], parts.store.endpoints["e1"]
        parts.store.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(parts.dimensions.completed(endpoint)) for _ in range(3)]
        await settled()
        parts.store.gate.set()
        found = await asyncio.gather(*tasks)
        assert [one.service_settings.dimensions for one in found] == [2, 2, 2]
        assert parts.settings.dimensions == 2
        assert parts.provider.calls == [("embed", ["how big"])] * 2  # the first was the trial

    @pytest.mark.parametrize("task", [TaskType.TEXT_EMBEDDING, TaskType.RERANK])
    async def test_other_endpoints_are_not_called(self, task):
        parts = Parts([])
        dimensions = 5 if task is TaskType.TEXT_EMBEDDING else None
        endpoint = make_endpoint(task, dimensions=dimensions)
        assert await parts.dimensions.completed(endpoint) is endpoint
        assert parts.provider.calls == []

    async def test_a_failure_counts_for_a_few_seconds(self):
        parts = Parts(starting())
        for seconds, calls in ((0, 1), (4, 1), (2, 2)):
            parts.clock.now += seconds
            error = await failing(parts.dimensions.completed(make_endpoint()))
            assert error.advice == starting().advice
            assert len(parts.provider.calls) == calls
        parts.provider.outcome = [[1.0]]
        parts.clock.now += 6
        await parts.dimensions.completed(make_endpoint())

    async def test_an_empty_vector_is_a_failure(self):
        error = await failing(Parts([[]]).dimensions.completed(make_endpoint()))
        assert error.reason == "Could not determine embedding size"

    async def test_a_provider_that_does_not_answer_is_waited_for_as_long_as_is_configured(self):
        provider = ScriptedProvider("hang")
        dimensions = DimensionsFinder(MemoryStore(), provider, 0.01, Background())
        assert isinstance(await failing(dimensions.completed(make_endpoint())), RequestTimedOut)
