"""Endpoints whose model is compared with what it was."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from proxy.ground.background import Background
from proxy.ground.errors import StatusError, StoreError
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.fingerprints import Fingerprint, Model
from proxy.inference.guard import ModelGuard
from proxy.inference.ports import Sighting
from tests.support.clock import Clock, settled
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.samples import make_endpoint
from tests.support.services import failing

E5 = Model(model_id="intfloat/e5-small-v2", model_sha="ffb9")
FIRST, SECOND = [[1.0, 0.0, 0.2]], [[0.1, 1.0, 0.0]]
DRIFTED = (
    "Inference endpoint [e1] has another model than when it was first used{}: their vectors of the "
    "same text are [0.902] apart. Vectors of two models cannot be compared: bring the first model "
    "back, or delete the endpoint, create it again, and embed all documents anew"
)

NAMED = ", [intfloat/e5-small-v2] of revision [ffb9] then and [other/model] now"


class Parts:
    def __init__(self, *, refuses: bool = True) -> None:
        self.store = MemoryStore(make_endpoint())
        self.provider = ScriptedProvider(FIRST)
        self.background = Background()
        self.clock = Clock()
        self.sighting = Sighting(Model(), 0)
        self.found: list[bool] = []
        self.guard = self.make(refuses=refuses)

    def make(self, *, refuses: bool) -> ModelGuard:
        return ModelGuard(
            self.store,
            self.provider,
            self.background,
            lambda endpoint: self.sighting,
            interval=3600.0,
            most_distant=0.01,
            refuses=refuses,
            timeout=30.0,
            found=lambda endpoint, differs: self.found.append(differs),
            clock=self.clock,
        )

    @property
    def endpoint(self) -> InferenceEndpoint:
        return self.store.endpoints["e1"]

    @property
    def looks(self) -> int:
        return len(self.provider.calls)

    async def use(self) -> None:
        """Embed something, as callers do."""
        await self.guard.before(self.endpoint)
        await self.guard.after(self.endpoint)
        await self.background.settled()


@pytest.fixture
def parts():
    return Parts()


class TestLooking:
    async def test_the_first_use_keeps_what_the_model_makes_of_a_text(self, parts):
        parts.sighting = Sighting(E5, 0)
        await parts.use()
        assert parts.provider.calls == [("embed", ["how big"])]
        assert parts.endpoint.fingerprint == Fingerprint.of(FIRST[0], E5)

    @pytest.mark.parametrize("task", [task for task in TaskType if task != "text_embedding"])
    async def test_an_endpoint_without_vectors_is_not_looked_at(self, parts, task):
        await parts.guard.after(make_endpoint(task))
        await parts.background.settled()
        assert parts.looks == 0

    async def test_it_is_compared_after_the_interval_and_no_sooner(self, parts):
        for seconds, looks in ((0, 1), (1000, 1), (2599, 1), (2, 2), (3000, 2)):
            parts.clock.now += seconds
            await parts.use()
            assert parts.looks == looks

    async def test_each_process_compares_it_with_what_is_kept(self, parts):
        await parts.use()
        parts.provider.outcome, parts.guard = SECOND, parts.make(refuses=True)
        assert (await failing(parts.use())).status == 409

    async def test_a_server_that_was_away_is_looked_at(self, parts):
        await parts.use()
        parts.clock.now += 10
        parts.sighting = Sighting(Model(), 1)
        await parts.use()
        await parts.use()
        assert parts.looks == 2

    async def test_one_that_fails_again_and_again_is_not_looked_at_each_time(self, parts):
        for number in range(20):
            parts.sighting = Sighting(Model(), number)
            parts.clock.now += 0.25
            await parts.use()
        assert parts.looks == 5

    async def test_one_that_is_back_very_soon_is_looked_at(self, parts):
        await parts.use()
        parts.clock.now += 1.5
        parts.sighting, parts.provider.outcome = Sighting(Model(), 1), SECOND
        assert (await failing(parts.use())).status == 409

    async def test_another_name_of_the_model_is_looked_into(self, parts):
        parts.sighting = Sighting(E5, 0)
        await parts.use()
        parts.clock.now += 10
        parts.sighting = Sighting(replace(E5, model_sha="c0ffee"), 0)
        await parts.use()
        assert parts.looks == 2
        assert parts.endpoint.fingerprint == Fingerprint.of(FIRST[0], E5)

    async def test_a_name_that_comes_later_is_kept_too(self, parts):
        await parts.use()
        parts.clock.now += 10
        parts.sighting = Sighting(E5, 0)
        await parts.use()
        assert parts.endpoint.fingerprint == Fingerprint.of(FIRST[0], E5)

    async def test_what_another_process_has_kept_stays(self, parts):
        other = parts.make(refuses=True)
        stale = parts.endpoint
        await parts.use()
        parts.provider.outcome = SECOND
        error = await failing(other.after(stale))
        assert error.status == 409
        kept = Fingerprint.of(FIRST[0], Model())
        assert parts.endpoint.fingerprint == replace(kept, alarms=1)

    @pytest.mark.parametrize("fails", ["provider", "store"])
    async def test_what_cannot_be_looked_at_is_let_through_and_looked_at_soon(self, parts, fails):
        if fails == "provider":
            parts.provider.outcome = StatusError(400, "busy")
        else:
            parts.store.failure = StoreError("away")
        for seconds, looks in ((0, 1), (20, 1), (11, 2)):
            parts.clock.now += seconds
            await parts.use()
            assert parts.looks == looks

    async def test_endpoints_beyond_number_are_forgotten(self, parts):
        for number in range(1500):
            endpoint = make_endpoint(inference_id=f"n{number}")
            parts.store.endpoints[endpoint.inference_id] = endpoint
            await parts.guard.after(endpoint)
        assert len(parts.guard._checks) == 1000


class TestRefusing:
    async def test_another_model_is_refused(self, parts, caplog):
        parts.sighting = Sighting(E5, 0)
        await parts.use()
        parts.provider.outcome = SECOND
        parts.sighting = Sighting(Model(model_id="other/model"), 1)
        parts.clock.now += 10
        for _ in range(3):
            error = await failing(parts.use())
            assert (error.status, error.type) == (409, "status_exception")
            told = DRIFTED.format(NAMED)
            assert error.reason == told
        assert parts.looks == 2
        assert [record.getMessage() for record in caplog.records] == [
            f"{told}. Until then it is refused"
        ]

    async def test_the_first_vectors_of_it_are_not_given_out(self, parts):
        """The guard looks after the call, so that nothing can come in between."""
        await parts.use()
        parts.sighting = Sighting(Model(), 1)
        parts.clock.now += 10
        await parts.guard.before(parts.endpoint)
        parts.provider.outcome = SECOND
        assert (await failing(parts.guard.after(parts.endpoint))).status == 409

    async def test_the_first_model_is_welcome_back(self, parts):
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        await failing(parts.use())
        parts.provider.outcome = FIRST
        parts.clock.now += 20
        await failing(parts.use())
        parts.clock.now += 11
        await parts.use()
        assert parts.found == [False, True, False]

    async def test_all_who_call_meanwhile_wait_for_the_look(self, parts):
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        gate, embed = asyncio.Event(), parts.provider.embed

        async def slow(*arguments):
            await gate.wait()
            return await embed(*arguments)

        parts.provider.embed = slow
        tasks = [asyncio.ensure_future(parts.guard.after(parts.endpoint)) for _ in range(3)]
        await settled()
        assert not any(task.done() for task in tasks)
        gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [StatusError] * 3
        assert parts.looks == 2

    async def test_an_endpoint_that_is_created_again_begins_anew(self, parts):
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        await failing(parts.use())
        parts.store.endpoints["e1"] = make_endpoint()
        await parts.use()
        assert parts.endpoint.fingerprint == Fingerprint.of(SECOND[0], Model())

    async def test_vectors_of_another_size_are_of_another_model(self, parts):
        await parts.use()
        parts.provider.outcome = [[1.0, 0.0]]
        parts.clock.now += 4000
        assert "[1.000] apart" in (await failing(parts.use())).reason


class TestAlarms:
    async def drift(self, parts):
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        await failing(parts.use())

    async def test_another_model_makes_another_record(self, parts):
        """So nothing is found of what was kept of the endpoint, by its revision."""
        await self.drift(parts)
        assert parts.endpoint.fingerprint == replace(Fingerprint.of(FIRST[0], Model()), alarms=1)

    async def test_it_is_noted_once(self, parts, caplog):
        await parts.use()
        before = parts.endpoint
        await self.drift(parts)
        await failing(parts.guard.after(before))  # a request that began before
        parts.clock.now += 4000
        await failing(parts.use())
        assert parts.endpoint.fingerprint.alarms == 1
        assert len(caplog.records) == 1

    async def test_other_processes_look_at_once(self, parts):
        other = parts.make(refuses=True)
        await parts.use()
        await other.after(parts.endpoint)
        await self.drift(parts)
        assert (await failing(other.after(parts.endpoint))).status == 409

    async def test_a_store_that_is_away_makes_it_no_less_refused(self, parts):
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        parts.store.failure = StoreError("away")
        assert (await failing(parts.use())).status == 409
        assert (await failing(parts.use())).status == 409

    @pytest.mark.parametrize("refuses", [True, False])
    async def test_nothing_is_remembered_while_there_is_another_model(self, parts, refuses):
        parts.guard = parts.make(refuses=refuses)
        endpoint = parts.store.endpoints["e1"] = replace(parts.endpoint, revision="r1")
        assert await parts.guard.before(endpoint) is endpoint
        await parts.use()
        parts.provider.outcome = SECOND
        parts.clock.now += 4000
        with suppress(StatusError):
            await parts.use()
        parts.provider.outcome = FIRST
        parts.clock.now += 31
        assert (await parts.guard.before(parts.endpoint)).revision is None
        await parts.use()
        assert await parts.guard.before(parts.endpoint) is parts.endpoint


class TestWarning:
    @pytest.fixture
    def parts(self):
        return Parts(refuses=False)

    async def test_it_is_told_once_and_nobody_waits(self, parts, caplog):
        await parts.use()
        parts.provider.outcome = SECOND
        for _ in range(3):
            parts.clock.now += 4000
            await parts.use()
        told = DRIFTED.format("")
        assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
            (logging.WARNING, told)
        ]

    async def test_a_provider_that_hangs_delays_nobody(self, parts):
        parts.provider.outcome = "hang"
        for _ in range(3):
            await parts.guard.before(parts.endpoint)
            await parts.guard.after(parts.endpoint)
            await asyncio.sleep(0)
        assert (parts.looks, len(parts.background)) == (1, 1)
        await parts.background.close()
