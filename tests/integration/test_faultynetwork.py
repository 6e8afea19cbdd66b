"""Real models behind a network that cuts, delays and throttles: answers are right, or errors."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final
from urllib.request import urlopen
from uuid import uuid4

import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from testbed.elasticsearch import Elasticsearch
from testbed.processes import Server, free_ports
from tests.conftest import RUNNING
from tests.support.faultynetwork import FaultyNetwork
from tests.support.processes import Serve
from tests.support.waiting import eventually

TIMEOUT: Final = 4.0  # seconds of a call
IDLE: Final = 2.0  # seconds between two events
IN_TIME: Final = 3 * TIMEOUT  # one that is late, on a machine that is busy
TEXTS: Final = [f"{n} ships in the harbour" for n in range(30)]
TASKS: Final = {
    "embedding": ("text_embedding", "/embed"),
    "ranking": ("rerank", "/rerank"),
    "chat": ("chat_completion", "/v1/chat/completions"),
    "completion": ("completion", "/v1/chat/completions"),
}
# What may be told: it has taken too long, or broken off after all attempts.
ERRORS: Final = {(429, "timeout_exception"), (500, "status_exception")}
NOTHING_OPEN: Final = ("calls_open", "streams_open", "held_bytes", "rate_limit_waiting")


@dataclass
class Caller:
    """Who sends requests through a proxy, between which and its models the network is faulty."""

    proxy: Server
    network: FaultyNetwork
    session: ClientSession

    async def send(self, method: str, target: str, body: Any = None) -> tuple[int, bytes]:
        async with self.session.request(method, self.proxy.url + target, json=body) as answer:
            return answer.status, await answer.read()

    async def ask(self, target: str, body: Any) -> Any:
        """The answer; None for an error, which must be one of `ERRORS`."""
        status, content = await self.send("POST", target, body)
        document = orjson.loads(content)
        if status == 200:
            return document
        assert (status, document["error"]["type"]) in ERRORS, content
        assert document["error"]["hint"]
        return None


@dataclass
class Ready:
    """A proxy, and the port of the network between it and its models."""

    proxy: Server
    port: int
    has_endpoints: bool = False


@pytest.fixture(scope="module", params=["lane", "application", "coalescing"])
def ready(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    elasticsearch: Elasticsearch,
) -> Iterator[Ready]:
    env = {
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
        "HFPROXY_ADMIN_LISTEN": "127.0.0.1:0",
        "HFPROXY_PROVIDER_COALESCING": str(request.param == "coalescing").lower(),
        "HFPROXY_PROVIDER_TIMEOUT": str(TIMEOUT),
        "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.05",
        "HFPROXY_PROVIDER_STREAM_IDLE_TIMEOUT": str(IDLE),
    }
    flags = ["--no-lane"] if request.param == "application" else []
    with Serve(tmp_path_factory.mktemp("state"), RUNNING) as serve:
        yield Ready(serve(*flags, upstream=elasticsearch.url, env=env), free_ports())


@pytest.fixture
async def caller(ready: Ready, provider: Server) -> AsyncIterator[Caller]:
    """One with endpoints for all tasks, made before the network becomes faulty."""
    port = URL(provider.url).port
    assert port is not None
    network = FaultyNetwork(port, ready.port, seed=7)
    async with network.running(), ClientSession(timeout=ClientTimeout(60)) as session:
        caller = Caller(ready.proxy, network, session)
        if not ready.has_endpoints:
            await put_endpoints(caller)
            ready.has_endpoints = True
        await network.become(sound=False)
        yield caller


async def put_endpoints(caller: Caller) -> None:
    for inference_id, (task, path) in TASKS.items():
        settings = {"url": caller.network.url + path, "api_key": "any-text"}
        body = {"service": "hugging_face", "service_settings": settings}
        target = f"/_inference/{task}/{inference_id}?timeout=60s"  # the trial calls the model
        status, content = await caller.send("PUT", target, body)
        assert status == 200, content


@pytest.fixture
async def vectors(provider: Server) -> dict[str, list[float]]:
    """Of `TEXTS`, as the model gives them."""
    async with (
        ClientSession() as session,
        session.post(f"{provider.url}/embed", json={"inputs": TEXTS}) as answer,
    ):
        return dict(zip(TEXTS, await answer.json(), strict=True))


def same(one: list[float], other: list[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(one, other, strict=True))


async def test_what_is_embedded_is_right_or_an_error_in_time(caller, vectors):
    loop = asyncio.get_running_loop()

    async def embed(number: int) -> list[bool]:
        picking = random.Random(number)
        outcomes = []
        for _ in range(8):
            texts = picking.sample(TEXTS, picking.randrange(1, 6))
            begun = loop.time()
            answer = await caller.ask("/_inference/embedding", {"input": texts})
            assert loop.time() - begun < IN_TIME
            outcomes.append(answer is not None)
            for text, one in zip(texts, answer["text_embedding"] if answer else [], strict=False):
                assert same(one["embedding"], vectors[text])
        return outcomes

    outcomes = [*chain.from_iterable(await asyncio.gather(*map(embed, range(12))))]
    assert sum(outcomes) > len(outcomes) / 4  # three attempts, which all may fail
    assert len(caller.network.met) > 4
    await all_is_well_again(caller)


async def test_what_is_ranked_is_right_or_an_error(caller):
    body = {"query": TEXTS[3], "input": TEXTS[:6]}
    answers = await asyncio.gather(
        *(caller.ask("/_inference/rerank/ranking", body) for _ in range(40))
    )
    best = [answer["rerank"][0]["index"] for answer in answers if answer is not None]
    assert len(best) > 20
    assert set(best) == {3}
    await all_is_well_again(caller)


async def test_a_stream_ends_properly_whatever_happens(caller):
    async def stream(number: int) -> str:
        text = f"Count to {number}."
        target = "/_inference/completion/completion/_stream"
        body: dict[str, Any] = {"input": text}
        if number % 2:
            target = "/_inference/chat_completion/chat/_stream"
            messages = [{"role": "user", "content": text}]
            body = {"messages": messages, "max_completion_tokens": 12}
        status, content = await caller.send("POST", target, body)
        *events, last, rest = content.decode().split("\n\n")
        assert rest == ""
        for event in events:  # all are whole
            assert event.startswith("event: message\ndata: {")
            orjson.loads(event.partition("data: ")[2])
        if last == "event: message\ndata: [DONE]":
            assert status == 200
            assert events
            return "done"
        assert last.startswith("event: error\ndata: ")
        assert "hint" in orjson.loads(last.partition("data: ")[2])["error"]
        assert status == 200 or not events
        return "failed"

    ends = await asyncio.gather(*map(stream, range(24)))
    assert "done" in ends
    await all_is_well_again(caller)


async def test_documents_have_their_vectors_or_fail_one_by_one(caller, vectors):
    index = f"faulty-{uuid4().hex[:8]}"
    field = {"type": "semantic_text", "inference_id": "embedding"}
    made = {"mappings": {"properties": {"body": field}}}
    await caller.network.become(sound=True)
    status, content = await caller.send("PUT", f"/{index}", made)
    assert status == 200, content
    await caller.network.become(sound=False)
    stored: set[str] = set()

    async def write(number: int) -> None:
        texts = {f"{number}-{n}": text for n, text in enumerate(TEXTS[number::4])}
        lines = [
            line
            for one, text in texts.items()
            for line in ({"index": {"_id": one}}, {"body": text})
        ]
        data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"{caller.proxy.url}/{index}/_bulk?refresh=true"
        async with caller.session.post(url, data=data, headers=headers) as answer:
            assert answer.status == 200
            items = [item["index"] for item in (await answer.json())["items"]]
        assert [item["_id"] for item in items] == [*texts]
        stored.update(item["_id"] for item in items if item["status"] < 300)
        assert all("error" in item for item in items if item["status"] >= 300)

    for _ in range(3):
        await asyncio.gather(*map(write, range(4)))
    await all_is_well_again(caller)
    assert stored
    search = {"size": 100, "fields": ["_inference_fields"]}
    _, content = await caller.send("POST", f"/{index}/_search", search)
    hits = orjson.loads(content)["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == stored
    for hit in hits:
        told = hit["_source"]["_inference_fields"]["body"]["inference"]["chunks"]["body"]
        assert same(told[0]["embeddings"], vectors[hit["_source"]["body"]])


async def all_is_well_again(caller: Caller) -> None:
    """Once the network is sound nothing is left of its faults."""
    await caller.network.become(sound=True)
    for text in TEXTS[:5]:
        status, content = await caller.send("POST", "/_inference/embedding", {"input": text})
        assert status == 200, content
    base = caller.proxy.wait_for("metrics on ").rpartition("metrics on ")[2].split('"')[0].strip()

    def nothing_is_open() -> bool:
        with urlopen(base, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return all(f"hfproxy_{name} 0.0" in lines for name in NOTHING_OPEN)

    await asyncio.to_thread(eventually, nothing_is_open)
    assert "Traceback" not in caller.proxy.output
    assert '"log.level":"error"' not in caller.proxy.output
