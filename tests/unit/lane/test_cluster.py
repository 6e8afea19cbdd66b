"""The lane before several nodes, and within its caps; the nodes are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, TCPConnector

from proxy.config import LimitsConfig
from proxy.http1 import Forwarding
from proxy.lane import Lane, Patience
from proxy.lane.pool import Pool
from proxy.upstream.nodes import STRIKES
from tests.support.lanes import make_lane
from tests.support.nodes import BUSY, OK, StubNode

WRITE = ("POST", "/logs/_doc")
READS = [
    ("GET", "/logs/_search"),
    ("POST", "/logs/_search?scroll=1m"),
    ("POST", "/_msearch"),
    ("POST", "/a,b/_count/"),
    ("PUT", "/logs/_doc/1"),
    ("DELETE", "/logs"),
]


class World:
    """A lane before nodes, and an HTTP client of it."""

    def __init__(self, lane: Lane, url: str, nodes: list[StubNode], client: ClientSession) -> None:
        self.lane = lane
        self.url = url
        self.nodes = nodes
        self.client = client

    async def ask(
        self, method: str = "GET", target: str = "/x", body: Any = None, **headers: str
    ) -> tuple[int, bytes]:
        sent = headers if body is None else {**headers, "Content-Type": "application/json"}
        url = self.url + target
        async with self.client.request(method, url, data=body, headers=sent) as answer:
            return answer.status, await answer.read()

    @property
    def counts(self) -> list[int]:
        return [len(node.heads) for node in self.nodes]


@contextlib.asynccontextmanager
async def world(count: int, **options: Any) -> AsyncIterator[World]:
    nodes = [StubNode() for _ in range(count)]
    for node in nodes:
        await node.start()
    lane = make_lane(*(node.url for node in nodes), connect_timeout=5, **options)
    host, port = await lane.listen("127.0.0.1", 0)
    try:
        async with (
            asyncio.timeout(20),
            ClientSession(connector=TCPConnector(limit=0)) as client,
        ):
            yield World(lane, f"http://{host}:{port}", nodes, client)
    finally:
        await lane.drain(0.1)
        for node in nodes:
            node.kill()


# --- who is asked


async def test_idle_nodes_take_turns():
    async with world(3) as here:
        for _ in range(30):
            assert await here.ask() == (200, b"ok")
        assert here.counts == [10, 10, 10]
        assert [node.connections for node in here.nodes] == [1, 1, 1]


async def test_the_one_with_the_least_to_do_is_asked():
    async with world(2) as here:
        slow = here.nodes[0]
        slow.gate.clear()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(here.ask()) for _ in range(2)]
            while here.counts != [1, 1]:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            for _ in range(10):
                assert await here.ask() == (200, b"ok")
            assert here.counts == [1, 11]
            slow.gate.set()
        assert [task.result()[0] for task in waiting] == [200, 200]


# --- one that fails


@pytest.mark.parametrize(("method", "target"), [*READS, WRITE])
async def test_a_request_that_could_not_be_sent_goes_elsewhere(method, target):
    async with world(2) as here:
        here.nodes[0].kill()
        body = b"{}" if method == "POST" else None
        for _ in range(4):
            assert await here.ask(method, target, body) == (200, b"ok")
        assert here.counts == [0, 4]
        assert here.nodes[1].bodies == [body or b""] * 4


async def test_so_does_one_whose_body_is_on_its_way():
    async with world(2) as here:
        here.nodes[0].kill()
        parts = [b"%07d\n" % n * 4096 for n in range(64)]

        async def body():
            for part in parts:
                yield part

        for _ in range(2):
            answer = await here.ask(*WRITE, body(), **{"Content-Length": str(64 * 32768)})
            assert answer == (200, b"ok")
        assert here.nodes[1].bodies == [b"".join(parts)] * 2


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("method", "target"), READS)
async def test_what_changes_nothing_twice_is_sent_again_after_a_loss(method, target, warm):
    async with world(2) as here:
        bad, good = here.nodes
        if warm:
            await asyncio.gather(*(here.ask() for _ in range(8)))
        bad.answer = None
        for _ in range(4):
            body = b'{"size":0}' if method == "POST" else None
            assert await here.ask(method, target, body) == (200, b"ok")
        assert good.bodies[-1] == (body or b"")


async def test_a_write_is_never_sent_twice():
    async with world(2) as here:
        here.nodes[0].answer = None
        answers = [await here.ask(*WRITE, b"{}") for _ in range(4)]
        assert sorted(status for status, _ in answers) == [200, 200, 502, 502]
        assert here.counts == [2, 2]


async def test_a_bad_answer_is_exchanged_for_a_better_one():
    async with world(2) as here:
        here.nodes[0].answer = BUSY
        for _ in range(10):
            assert await here.ask() == (200, b"ok")
        assert here.counts == [STRIKES, 10]  # and then it is passed over


async def test_a_write_gets_the_bad_answer():
    async with world(2) as here:
        here.nodes[0].answer = BUSY
        answers = [await here.ask(*WRITE, b"{}") for _ in range(4)]
        assert sorted(answers) == [(200, b"ok"), (200, b"ok"), (503, b"busy"), (503, b"busy")]


async def test_where_all_answer_badly_their_answer_is_passed_on():
    async with world(3) as here:
        for node in here.nodes:
            node.answer = BUSY
        for _ in range(8):
            assert await here.ask() == (503, b"busy")


async def test_where_none_can_be_reached_it_is_503():
    async with world(2) as here:
        for node in here.nodes:
            node.kill()
        for _ in range(3):
            status, body = await here.ask()
            assert status == 503
            assert "cannot be reached" in orjson.loads(body)["error"]["reason"]


@pytest.mark.parametrize("fault", ["killed", "busy"])
async def test_one_that_is_back_is_asked_again(fault):
    async with world(2) as here:
        node = here.nodes[0]
        node.kill() if fault == "killed" else setattr(node, "answer", BUSY)
        for _ in range(8):
            await here.ask()
        before = here.counts[0]
        await here.ask()
        assert here.counts[0] == before
        node.answer = OK
        if fault == "killed":
            await node.start()
        while here.counts[0] < before + 5:
            assert await here.ask() == (200, b"ok")
            await asyncio.sleep(0.01)


async def test_nothing_that_may_be_repeated_fails_when_nodes_die_under_load():
    async with world(3) as here:
        stop = asyncio.Event()
        answers = []

        async def load(ask: tuple[str, str, bytes | None]) -> None:
            while not stop.is_set():
                answers.append(await here.ask(*ask))

        kinds = itertools.cycle([("GET", "/x", None), ("POST", "/_search", b"{}")])
        async with asyncio.TaskGroup() as group:
            for kind in itertools.islice(kinds, 16):
                group.create_task(load(kind))
            for node in (*here.nodes, *here.nodes):
                await asyncio.sleep(0.1)
                node.kill()
                await asyncio.sleep(0.1)
                await node.start()
            stop.set()
        assert len(answers) > 100
        assert set(answers) == {(200, b"ok")}


# --- caps


async def test_requests_wait_for_a_connection_in_their_order():
    async with world(1, most=1) as here:
        (node,) = here.nodes
        node.gate.clear()
        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(here.ask("POST", f"/{n}", b"x" * 100_000 * n))
                await asyncio.sleep(0.05)
            assert here.counts == [1]
            node.gate.set()
        assert [head.split()[1] for head in node.heads] == [b"/0", b"/1", b"/2", b"/3"]
        assert [len(body) for body in node.bodies] == [0, 100_000, 200_000, 300_000]
        assert node.connections == 1


async def test_one_whose_caller_has_left_is_not_served():
    async with world(1, most=1, patience=Patience(half_closed=0.05)) as here:
        (node,) = here.nodes
        node.gate.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(here.ask("GET", "/first"))
            await asyncio.sleep(0.05)
            leaves = group.create_task(here.ask("GET", "/leaves"))
            group.create_task(here.ask("GET", "/last"))
            await asyncio.sleep(0.05)
            leaves.cancel()
            await asyncio.sleep(0.3)
            node.gate.set()
        assert [head.split()[1] for head in node.heads] == [b"/first", b"/last"]


async def test_a_lost_connection_makes_room_for_another():
    async with world(1, most=1) as here:
        (node,) = here.nodes
        node.answer = None
        assert isinstance(here.lane.upstream, Pool)
        here.lane.upstream.node.probe.rule_out()  # TLS, which would take a connection, too
        statuses = await asyncio.gather(*(here.ask(*WRITE, b"{}") for _ in range(3)))
        assert [status for status, _ in statuses] == [502] * 3
        assert node.connections == 3


async def test_no_loss_makes_room_for_more_than_may_be():
    async with world(1, most=2) as here:
        (node,) = here.nodes
        for answer in (OK, None, OK, None):
            node.answer = answer  # lost are idle connections, too, which are tried again
            await asyncio.gather(*(here.ask() for _ in range(30)))
        assert node.most_at_once == 2


async def test_the_wait_for_a_connection_ends_with_429():
    async with world(1, most=1, patience=Patience(queue=0.2)) as here:
        (node,) = here.nodes
        node.gate.clear()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(here.ask())
            await asyncio.sleep(0.05)
            began = time.monotonic()
            async with here.client.get(here.url + "/y") as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "1"
                error = (await answer.json())["error"]
            assert error["type"] == "es_rejected_execution_exception"
            assert error["reason"].endswith("has no connection free: all [1] are in use")
            assert 0.1 < time.monotonic() - began < 2
            node.gate.set()
        assert first.result() == (200, b"ok")
        assert here.counts == [1]


async def test_more_callers_than_may_be_are_turned_away():
    async with world(1, limits=LimitsConfig(connections=2)) as here:
        host, port = here.url.removeprefix("http://").split(":")
        kept = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        for _, other in (*kept, (reader, writer)):
            other.close()
            await other.wait_closed()
        assert await here.ask() == (200, b"ok")


async def test_an_answer_that_does_not_come_in_time_is_504():
    async with world(1, patience=Patience(answer=0.2)) as here:
        (node,) = here.nodes
        node.gate.clear()
        status, body = await here.ask()
        assert status == 504
        reason = orjson.loads(body)["error"]["reason"]
        assert reason == "upstream node did not answer in time"


# --- what the upstream is told


@pytest.mark.parametrize(
    ("forwarding", "sent", "expected"),
    [
        (Forwarding(), ["X-Forwarded-For: a"], ["Host: es", "X-Forwarded-For: a"]),
        (Forwarding(host=b"cloud:443"), ["X-A: 1"], ["Host: cloud:443", "X-A: 1"]),
        (
            Forwarding(x_forwarded="append"),
            ["X-A: 1"],
            [
                *("Host: es", "X-A: 1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http"),
                "X-Forwarded-Host: es",
            ],
        ),
        (
            Forwarding(host=b"inner", x_forwarded="append"),
            ["x-forwarded-for: 9.9.9.9", "X-Forwarded-Proto: https", "Forwarded: for=9.9.9.9"],
            [
                *("Host: inner", "Forwarded: for=9.9.9.9", "X-Forwarded-For: 9.9.9.9, 127.0.0.1"),
                *("X-Forwarded-Proto: https", "X-Forwarded-Host: es"),
            ],
        ),
        (
            Forwarding(x_forwarded="replace"),
            ["x-forwarded-for: 9.9.9.9", "X-Real-IP: 9.9.9.9", "Forwarded: for=9.9.9.9"],
            [
                *("Host: es", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http"),
                "X-Forwarded-Host: es",
            ],
        ),
    ],
)
async def test_headers_about_the_way(forwarding, sent, expected):
    async with world(1, forwarding=forwarding) as here:
        host, port = here.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        request = "\r\n".join(["GET /x HTTP/1.1", "Host: es", *sent, "", ""]).encode()
        for _ in range(2):  # a head that is known already, too
            writer.write(request)
            assert await reader.readexactly(len(OK)) == OK
        lines = ["GET /x HTTP/1.1", *expected, "", ""]
        assert here.nodes[0].heads == ["\r\n".join(lines).encode()] * 2
        writer.close()
