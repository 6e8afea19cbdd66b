"""Rate limits of three proxies that share a store, as real processes under load."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left

import orjson
import pytest
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from tests.support.rawhttp import send
from tests.support.relays import Relay
from tests.support.stubs import FaultyServer, contract_reply, in_thread

JSON = {"Content-Type": "application/json"}
LIMIT = 600  # calls in a minute
START = 4.0  # seconds in which the proxies get to know each other
SECONDS = 10.0  # after that
CALLERS = 10  # of each proxy, more than it may have calls


def put(url: str, provider: str) -> None:
    settings = {
        "api_key": "secret",
        "url": f"{provider}/embed",
        "rate_limit": {"requests_per_minute": LIMIT},
    }
    body = orjson.dumps({"service": "hugging_face", "service_settings": settings})
    answer = send(url, "PUT", "/_inference/text_embedding/shared", list(JSON.items()), body)
    assert answer.status == 200, answer.text


class Gate(Relay):
    """The way of proxies to Elasticsearch, on which requests to an index can be cut off."""

    def __init__(self, server: URL, index: str) -> None:
        super().__init__(server)
        self.is_shut = False
        self.stopped = 0  # requests
        self._index = index.encode()

    def stops(self, data: bytes) -> bool:
        stops = self.is_shut and self._index in data
        self.stopped += stops
        return stops


@pytest.mark.alone  # counts how much is done in a time
@pytest.mark.parametrize("store", ["elasticsearch", "sqlite"])
async def test_three_proxies_keep_one_limit_and_use_it(
    serve, elasticsearch, own_index, tmp_path, store
):
    kind = "elasticsearch" if store == "elasticsearch" else f"sqlite:{tmp_path}/endpoints.db"
    env = own_index | {"HFPROXY_PROVIDER_SHARED_RATE_LIMITS": "true", "HFPROXY_STORE_KIND": kind}
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxies = [
            await asyncio.to_thread(serve, upstream=elasticsearch.url, env=env) for _ in range(3)
        ]
        await asyncio.to_thread(put, proxies[0].url, provider.url)
        provider.calls.clear()
        counts = await under_load([proxy.url for proxy in proxies])
        check(counts, sorted(call.at for call in provider.calls))


@pytest.mark.alone
async def test_so_they_do_while_the_store_is_away(serve, elasticsearch, own_index):
    env = own_index | {"HFPROXY_PROVIDER_SHARED_RATE_LIMITS": "true"}
    with in_thread(FaultyServer(contract_reply)) as provider:
        async with Gate(URL(elasticsearch.url), own_index["HFPROXY_STORE_INDEX"]) as gate:
            proxies = [await asyncio.to_thread(serve, upstream=gate.url, env=env) for _ in range(3)]
            await asyncio.to_thread(put, proxies[0].url, provider.url)
            provider.calls.clear()
            loading = asyncio.ensure_future(under_load([proxy.url for proxy in proxies]))
            await asyncio.sleep(START + 2.0)
            gate.is_shut = True
            await asyncio.sleep(SECONDS - 5.0)
            gate.is_shut = False
            counts = await loading
        assert gate.stopped > len(proxies)
        check(counts, sorted(call.at for call in provider.calls))


def check(counts: list[int], arrivals: list[float]) -> None:
    # At the end, callers that still wait are not as many with each proxy.
    later = [at for at in arrivals if START <= at - arrivals[0] < START + SECONDS]
    assert min(counts) > 0.2 * sum(counts)
    assert len(later) >= 0.95 * SECONDS * LIMIT / 60
    # As many as there may be in a part of a minute, if no minute is to have more than the limit.
    for part in (1.0, 5.0, SECONDS, 60.0):
        most = max(bisect_left(arrivals, at + part) - n for n, at in enumerate(arrivals))
        assert most <= LIMIT * (part + 1.5) / 61.5


async def under_load(urls: list[str]) -> list[int]:
    """Call through all proxies for a while; how many calls each has made."""
    counts = [0] * len(urls)
    until = time.monotonic() + START + SECONDS

    async def keep_asking(client: ClientSession, number: int) -> None:
        target = f"{urls[number]}/_inference/shared"
        while time.monotonic() < until:
            async with client.post(target, data=b'{"input":"a"}', headers=JSON) as answer:
                assert answer.status == 200, await answer.text()
                counts[number] += 1

    async with (
        ClientSession(connector=TCPConnector(limit=0)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(len(urls)):
            for _ in range(CALLERS):
                tasks.create_task(keep_asking(client, number))
    return counts
