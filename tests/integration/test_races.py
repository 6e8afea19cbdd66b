"""Concurrent changes of one endpoint, through two proxies with two workers each over one store.

`tests.torture.history` checks whether their answers can be right.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import EndpointNotFound, StatusError
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings
from proxy.store.elasticsearch import ElasticsearchStore
from testbed.elasticsearch import Elasticsearch
from tests.support.processes import KEY, Serve
from tests.support.rawhttp import send
from tests.support.storeconformance import endpoint
from tests.support.stubs import FaultyServer
from tests.torture.callers import Recorder, answer_as_provider, once
from tests.torture.history import Kind, Operation, Outcome, Past, Record, State, check

Start = Callable[..., Recorder]

ID: Final = "rerank-1"
FRESHNESS: Final = 0.5  # seconds
AT_ONCE: Final = 100  # connections


@pytest.fixture(params=["sqlite", "elasticsearch"])
async def start(
    request: pytest.FixtureRequest,
    serve: Serve,
    elasticsearch: Elasticsearch,
    tmp_path: Path,
) -> AsyncIterator[Start]:
    """Starts two proxies over an empty store; the recorder calls them."""
    environ = {
        "HFPROXY_STORE_FRESHNESS": str(FRESHNESS),
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
    }
    kind, upstream = f"sqlite:{tmp_path / 'state' / 'endpoints.db'}", None
    if request.param == "elasticsearch":
        kind, upstream = "elasticsearch", elasticsearch.url
    connector = TCPConnector(force_close=True, limit=AT_ONCE)
    async with (
        FaultyServer(answer_as_provider) as provider,
        ClientSession(
            connector=connector, middlewares=[once], timeout=ClientTimeout(total=None)
        ) as session,
    ):

        def start(workers: int = 2) -> Recorder:
            flags = ("--store", kind, "--workers", str(workers))
            proxies = [serve(*flags, upstream=upstream, env=environ) for _ in range(2)]
            return Recorder(
                session=session,
                urls=[proxy.url for proxy in proxies],
                provider=provider.url,
                freshness=FRESHNESS,
                lists_lag=upstream is not None,  # a search finds what has been refreshed
                random=random.Random(0),
            )

        yield start


async def test_of_a_thousand_creations_one_succeeds(start: Start) -> None:
    """The others get Elasticsearch's error, whose status and type `outcome_of` checks."""
    recorder = start()
    async with asyncio.TaskGroup() as group:
        for _ in range(1000):
            group.create_task(recorder.create(ID))
    await recorder.read(ID)
    assert recorder.errors == []
    assert check(recorder.operations, {}) == []
    outcomes = Counter(one.outcome for one in recorder.operations if one.kind is Kind.CREATE)
    assert outcomes == {Outcome.DONE: 1, Outcome.EXISTS: 999}


async def test_deletion_against_everything_else_is_answered_as_allowed(start: Start) -> None:
    recorder = start()
    wanted = set(itertools.product((Kind.DELETE, Kind.UPDATE), (Outcome.DONE, Outcome.MISSING)))
    rounds = 0
    while rounds < 12 or not wanted <= _seen_by(recorder):
        rounds += 1
        assert rounds < 200, f"never seen: {wanted - _seen_by(recorder)}"
        async with asyncio.TaskGroup() as group:
            actions = [recorder.create, recorder.read, recorder.list_all]
            actions += [recorder.delete, recorder.update, recorder.use] * 3
            recorder.random.shuffle(actions)
            for action in actions:
                group.create_task(action(ID))
    assert recorder.errors == []
    assert check(recorder.operations, {}) == []


def _seen_by(recorder: Recorder) -> set[tuple[Kind, Outcome]]:
    return {(one.kind, one.outcome) for one in recorder.operations}


# Updates of different fields


@dataclass(slots=True, kw_only=True)
class Registers:
    """The fields of one endpoint as registers; changing one shows the others."""

    recorder: Recorder
    born: int
    history: list[Operation] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    conflicts: int = 0

    async def update_until_done(self, name: str) -> None:
        while not await self.update(name):
            self.conflicts += 1

    async def update(self, name: str) -> bool:
        """Change a field; False if it was refused with 409."""
        number = next(self.numbers)
        body: dict[str, Any] = {"task_settings": {"top_n": number}}
        if name == "rate":
            limit = {"requests_per_minute": number}
            body = {"service_settings": {"api_key": "hf_1", "rate_limit": limit}}
        began = time.monotonic()
        status, answer = await self._ask("PUT", f"/_inference/rerank/{ID}/_update", body)
        if status == 409:
            assert answer["error"]["type"] == "status_exception"
            assert f"[{ID}] is currently being updated" in answer["error"]["reason"]
            return False
        assert status == 200, answer
        self._keep(began, answer, name, number)
        return True

    async def read(self) -> None:
        began = time.monotonic()
        _, answer = await self._ask("GET", f"/_inference/{ID}")
        self._keep(began, answer["endpoints"][0])

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        url = self.recorder.random.choice(self.recorder.urls) + path
        async with self.recorder.session.request(method, url, json=body) as answer:
            return answer.status, await answer.json()

    def _keep(self, began: float, shown: Any, changed: str = "", number: int = 0) -> None:
        ended = time.monotonic()
        rate = shown["service_settings"]["rate_limit"]["requests_per_minute"]
        for name, value in {"rate": rate, "top_n": shown["task_settings"]["top_n"]}.items():
            self.history.append(
                Operation(
                    number=number if name == changed else next(self.numbers),
                    kind=Kind.UPDATE if name == changed else Kind.READ,
                    inference_id=name,
                    began=began,
                    ended=ended,
                    shown=Record(self.born, (value,)),
                )
            )


async def test_no_update_of_one_field_undoes_one_of_another(start: Start) -> None:
    recorder = start()
    assert await recorder.create(ID)
    born = recorder.operations[0].number
    registers = Registers(recorder=recorder, born=born)
    past = {
        name: Past(State(born, value), frozenset({born, value}))
        for name, value in {"rate": 1_000_000 + born, "top_n": born}.items()
    }
    for _ in range(10):
        async with asyncio.TaskGroup() as group:
            for name in ("rate", "top_n") * 4:
                group.create_task(registers.update_until_done(name))
    await registers.read()
    assert check(registers.history, past) == []
    updates = [one for one in registers.history if one.kind is Kind.UPDATE]
    assert len(updates) == 10 * 8
    sys.stdout.write(f"{len(updates)} updates, {registers.conflicts} times told to try again\n")


async def test_who_is_always_overtaken_is_told_to_try_again(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    config = StoreConfig(index=f"overtaken-{uuid4().hex[:8]}", encryption_key=KEY)
    store = ElasticsearchStore(UpstreamConfig(url=elasticsearch.url), config, folder=tmp_path)
    await store.open()
    await store.create(endpoint())
    document = f"/{config.index}/_doc/e1"
    tries = 0

    def overtaken(old: InferenceEndpoint) -> InferenceEndpoint:
        nonlocal tries
        tries += 1
        there = orjson.loads(send(elasticsearch.url, "GET", document).body)["_source"]
        json = [("Content-Type", "application/json")]
        assert send(elasticsearch.url, "PUT", document, json, orjson.dumps(there)).status == 200
        return replace(old, secret_settings=SecretSettings(api_key="new"))

    with pytest.raises(StatusError, match=r"\[e1\] is currently being updated") as error:
        await store.update("e1", overtaken)
    assert (error.value.status, tries) == (409, 5)
    assert (await store.get("e1")).endpoint == endpoint()
    await store.close()


async def test_nobody_fails_while_the_index_is_made(
    elasticsearch: Elasticsearch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do readers, and no log says that the index was lost."""
    upstream = UpstreamConfig(url=elasticsearch.url)
    for _ in range(5):
        config = StoreConfig(index=f"being-made-{uuid4().hex[:8]}", encryption_key=KEY)
        stores = [ElasticsearchStore(upstream, config, folder=tmp_path) for _ in range(2)]
        made = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            creations = []
            for n, store in enumerate(stores):
                await store.open()
                for call in (
                    lambda store=store: store.get("e0"),
                    lambda store=store: store.find(),
                    lambda store=store: store.update("e1", lambda old: old),
                    lambda store=store: store.delete("e2"),
                ):
                    group.create_task(_call_until(made, call))
                creations.append(group.create_task(store.create(endpoint(f"e{n}"))))
            await asyncio.wait(creations)
            made.set()
        for store in stores:
            assert len((await store.find()).endpoints) == 2
            await store.close()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def _call_until(made: asyncio.Event, call: Callable[[], Awaitable[object]]) -> None:
    """Call repeatedly, and once more when the index is made."""
    is_last = False
    while not is_last:
        is_last = made.is_set()
        with suppress(EndpointNotFound):
            await call()


# How soon others see a change


async def test_a_change_through_one_proxy_is_seen_by_the_other_within_the_bound(
    start: Start,
) -> None:
    recorder = start(workers=1)
    here, there = recorder.urls
    longest = 0.0
    for action in (recorder.create, *[recorder.update, recorder.update, recorder.delete] * 3):
        recorder.urls = [there]
        await recorder.read(ID)  # which is cached there
        recorder.urls = [here]
        if action is recorder.update:
            await recorder.create(ID)  # if the last round deleted it
        assert await action(ID)
        changed = recorder.operations[-1]
        recorder.urls = [there]
        longest = max(longest, await _lag(recorder, changed))
    assert recorder.errors == []
    assert check(recorder.operations, {}) == []
    sys.stdout.write(f"seen by the other proxy after {longest:.3f} s at most\n")
    assert 0 < longest <= FRESHNESS  # otherwise nothing was cached, or for too long


async def _lag(recorder: Recorder, changed: Operation) -> float:
    """How long after its acknowledgement a change was still not shown, in seconds."""
    lag = 0.0
    while True:
        await recorder.read(ID)
        read = recorder.operations[-1]
        if read.shown == changed.shown:
            return lag
        lag = read.began - changed.ended
        assert lag < 10
