"""Several addresses of one real Elasticsearch, which are cut off in turn under load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import orjson
import pytest
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from tests.support.rawhttp import send
from tests.support.relays import Relay
from tests.support.stubs import FaultyServer, contract_reply, in_thread

JSON = {"Content-Type": "application/json"}
SECONDS = 4


@pytest.mark.alone  # counts how much is done in a time
@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
async def test_no_read_fails_while_nodes_go_and_come_back(serve, elasticsearch, flags):
    index = f"/nodes-{len(flags)}"
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(Relay(URL(elasticsearch.url))) for _ in range(3)]
        urls = ",".join(way.url for way in ways)
        on = {"HFPROXY_SEMANTIC_ENABLED": None}  # as whoever sets nothing has it
        proxy = await asyncio.to_thread(serve, *flags, upstream=urls, env=on)
        seen = await seen_under_load(proxy.url, index, ways)
    failed = {what: count for what, count in seen.items() if what[1] not in (200, 201)}
    assert not failed
    assert sum(seen.values()) > 100
    assert all(way.passed for way in ways)


async def seen_under_load(url, index, ways):
    """Count requests by status while the ways are cut off and restored in turn."""
    lines = b"".join(b'{"index":{}}\n{"n":%d}\n' % n for n in range(200))
    seen: Counter[tuple[str, int]] = Counter()
    async with ClientSession(connector=TCPConnector(limit=0)) as client:

        async def ask(method, target, body=None):
            async with client.request(method, url + target, data=body, headers=JSON) as answer:
                found = await answer.read()
                seen[method + " " + target, answer.status] += 1
                return found

        await ask("POST", index + "/_bulk?refresh=true", lines)
        search = b'{"query":{"range":{"n":{"gte":100}}},"track_total_hits":true}'

        async def ask_all():
            await ask("GET", "/_cluster/health")
            found = orjson.loads(await ask("POST", index + "/_search", search))
            assert found["hits"]["total"]["value"] == 100
            await ask("PUT", index + "/_doc/one", b'{"n":0}')
            await ask("GET", "/_inference/_all")

        async def load():
            while time.monotonic() < until:
                await ask_all()

        await ask_all()  # an Elasticsearch that has just started takes long for the first ones
        until = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(load())
            for way in ways:
                await asyncio.sleep(0.4)
                way.cut()
                await asyncio.sleep(0.4)
                await way.__aenter__()
    return seen


def test_endpoints_are_kept_while_a_node_is_away(serve, elasticsearch, unused_tcp_port):
    proxy = serve(
        upstream=f"http://127.0.0.1:{unused_tcp_port},{elasticsearch.url}",
        env={"HFPROXY_STORE_INDEX": "nodes-store"},
    )
    with in_thread(FaultyServer(contract_reply)) as provider:
        settings = {"api_key": "secret", "url": provider.url + "/embed"}
        body = orjson.dumps({"service": "hugging_face", "service_settings": settings})
        for n in range(4):
            target = f"/_inference/text_embedding/kept-{n}"
            assert send(proxy.url, "PUT", target, list(JSON.items()), body).status == 200
            assert send(proxy.url, "GET", target, [], b"").status == 200
