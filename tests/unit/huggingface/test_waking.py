"""Who waits for a server that starts, who looks, and what it is sent."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from proxy.config import ProviderConfig
from proxy.ground.errors import Cause, ProxyError
from proxy.huggingface.calls import NOBODY_LISTENS, Call, NoReply, Refusal
from proxy.huggingface.waking import Waking, is_starting
from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import NO_DEADLINE, Deadline
from testbed.processes import free_ports
from tests.support.clock import Timeline, settled
from tests.support.huggingface import answering, failing
from tests.support.samples import make_endpoint
from tests.support.stubs import Reply, event_reply, json_reply

HOSTED = make_endpoint(url="https://abc.eu-west-1.aws.endpoints.huggingface.cloud/")
BESIDE = make_endpoint(url="http://tei:8080/embed")
STARTING = Refusal(503, b"503 Service Unavailable")
LOADING = Refusal(503, b'{"error":{"message":"Loading model","code":503}}')


class Server:
    """A server that has started once it is told so, and records its calls with their times."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.time = Timeline()
        config = ProviderConfig(cold_start_wait=seconds)
        self.waking = Waking(config, clock=self.time, sleep=self.time.sleep)
        self.calls: list[tuple[float, Call]] = []
        self.answers: Any = STARTING
        self.stalls: asyncio.Event | None = None

    async def send(self, call: Call) -> Any:
        self.calls.append((self.time.now - 100, call))
        await (asyncio.sleep(0) if self.stalls is None else self.stalls.wait())
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    async def call(
        self, name: str = "a", endpoint: Any = HOSTED, deadline: float | None = None
    ) -> asyncio.Task[Any]:
        ends = NO_DEADLINE if deadline is None else Deadline(100 + deadline)
        work = self.waking.outcome(Call(endpoint, {"name": name}), ends, self.send)
        task = asyncio.ensure_future(work)
        await settled()
        return task

    @property
    def times(self) -> list[float]:
        return [round(at, 1) for at, _ in self.calls]

    @property
    def callers(self) -> str:
        return "".join(call.body["name"] for _, call in self.calls)


@pytest.fixture
async def server():
    """At the end, nobody waits any more."""
    made = Server()
    yield made
    assert made.waking.waiting == 0


@pytest.mark.parametrize(
    ("endpoint", "found", "starting"),
    [
        (HOSTED, Refusal(503, b""), True),
        (HOSTED, Refusal(502, b"bad gateway"), True),
        (HOSTED, Refusal(500, b""), False),
        (HOSTED, Refusal(429, b"loading"), False),
        (BESIDE, LOADING, True),
        (BESIDE, Refusal(503, b'{"error":"Model a is currently loading"}'), True),
        (BESIDE, Refusal(503, b'{"error":"queue is full"}'), False),
        (BESIDE, Refusal(502, b""), False),
        (make_endpoint(url="https://endpoints.huggingface.cloud.test/"), Refusal(503, b""), False),
        (BESIDE, NoReply(NOBODY_LISTENS), True),
        (BESIDE, NoReply(Cause("connect_exception", "Connect failed")), False),
    ],
)
def test_what_tells_that_a_server_starts(endpoint, found, starting):
    assert is_starting(endpoint, found) is starting


async def test_nobody_waits_unless_that_is_configured():
    server = Server(0)
    assert await (await server.call()) is STARTING
    assert server.times == [0]


async def test_a_server_that_has_started_is_called_once(server):
    server.answers = [[1.0]]
    assert await (await server.call()) == [[1.0]]
    assert [call.scale_up_timeout for _, call in server.calls] == [None]


async def test_the_first_to_call_looks_after_growing_pauses(server, caplog):
    caplog.set_level(logging.INFO)
    task = await server.call()
    await server.time.advance(30)
    assert server.times == [0, 1, 2.5, 4.8, 8.1, 13.2, 20.8]
    server.answers = [[1.0]]
    await server.time.advance(30)
    assert await task == [[1.0]]
    where = "(text_embedding, https://abc.eu-west-1.aws.endpoints.huggingface.cloud/)"
    assert [record.getMessage() for record in caplog.records] == [
        f"provider of inference endpoint [e1] is starting: requests wait 60 s for it {where}",
        f"provider of inference endpoint [e1] has started, after 32 s {where}",
    ]


async def test_where_nothing_listens_it_looks_more_often(server):
    server.answers = NoReply(NOBODY_LISTENS)
    task = await server.call(endpoint=BESIDE)
    await server.time.advance(11)
    assert server.times == [0, 1, 2.5, 4.5, 6.5, 8.5, 10.5]
    server.answers = [[1.0]]
    await server.time.advance(2)
    assert await task == [[1.0]]


async def test_who_has_waited_long_enough_waits_no_more(server):
    first = await server.call("a")
    others = [await server.call("b", deadline=5) for _ in range(3)]
    assert server.waking.waiting == 4
    await server.time.advance(6)
    assert all(other.done() for other in others)
    assert server.waking.waiting == 1
    server.answers = [[1.0]]
    await server.time.advance(30)
    await first


async def test_huggingface_may_hold_a_call_for_the_time_that_is_left(server):
    server.answers = STARTING
    task = await server.call()
    await server.time.advance(3)
    assert [call.scale_up_timeout for _, call in server.calls] == [None, 58, 56]
    assert [call.is_retry for _, call in server.calls] == [False, True, True]
    server.answers = [[1.0]]
    await server.time.advance(30)
    await task


async def test_no_other_server_is_told_to(server):
    server.answers = LOADING
    task = await server.call(endpoint=BESIDE)
    await server.time.advance(3)
    assert [call.scale_up_timeout for _, call in server.calls] == [None, None, None]
    server.answers = [[1.0]]
    await server.time.advance(30)
    await task


async def test_the_others_call_nobody_until_it_has_started(server):
    tasks = [await server.call(name) for name in "abc"]
    await server.time.advance(10)
    assert server.callers == "aaaaa"
    assert server.waking.waiting == 3
    server.answers = [[1.0]]
    await server.time.advance(10)
    assert server.callers == "aaaaaabc"
    assert await asyncio.gather(*tasks) == [[[1.0]]] * 3


async def test_when_the_one_who_looks_leaves_the_next_one_looks(server):
    tasks = [await server.call(name) for name in "abcd"]
    tasks[1].cancel()
    tasks[0].cancel()
    await settled()
    await server.time.advance(10)
    assert server.callers == "accc"
    server.answers = [[1.0]]
    await server.time.advance(10)
    assert [task.cancelled() for task in tasks] == [True, True, False, False]


async def test_when_the_next_one_leaves_at_the_same_moment_another_looks(server):
    tasks = [await server.call(name) for name in "abc"]
    tasks[0].cancel()
    await asyncio.sleep(0)
    tasks[1].cancel()
    await settled()
    await server.time.advance(2)
    assert server.callers == "ac"
    server.answers = [[1.0]]
    await server.time.advance(10)
    assert await tasks[2] == [[1.0]]


async def test_the_wait_ends_with_what_the_server_said_last(server):
    tasks = [await server.call(), await server.call("b", deadline=10)]
    await server.time.advance(9)
    assert not tasks[1].done()
    await server.time.advance(0.6)
    assert await tasks[1] == Refusal(503, STARTING.body, waited=True)
    await server.time.advance(51)
    assert await tasks[0] == Refusal(503, STARTING.body, waited=True)
    assert server.times[-1] == 60


async def test_a_request_without_time_does_not_wait(server):
    assert (await (await server.call(deadline=0.2))).waited
    assert server.times == [0]


async def test_another_refusal_is_the_end_of_the_wait_for_all(server):
    tasks = [await server.call(name) for name in "ab"]
    server.answers = Refusal(401, b"")
    await server.time.advance(2)
    assert [await task for task in tasks] == [Refusal(401, b"")] * 2


async def test_who_must_not_look_any_more_leaves_it_to_others(server):
    tasks = [await server.call(name) for name in "ab"]
    server.answers = ProxyError("no longer allowed")
    await server.time.advance(1)
    server.answers = [[1.0]]
    await server.time.advance(5)
    with pytest.raises(ProxyError):
        await tasks[0]
    assert await tasks[1] == [[1.0]]


async def test_nobody_waits_for_one_whose_call_is_not_answered(server):
    looks = await server.call("a")
    server.stalls = asyncio.Event()
    await server.time.advance(1)
    waits = await server.call("b", deadline=120)
    await server.time.advance(66)
    assert server.callers == "aa"
    server.stalls, server.answers = None, [[1.0]]
    assert await (await server.call("c")) == [[1.0]]
    assert server.callers == "aac"
    looks.cancel()
    assert (await waits).waited


async def test_the_others_go_on_once_one_finds_what_was_not_answered(server):
    server.waking = Waking(
        ProviderConfig(cold_start_wait=20), clock=server.time, sleep=server.time.sleep
    )
    looks = await server.call("a", deadline=11)
    server.stalls = asyncio.Event()
    await server.time.advance(5)
    waits = await server.call("b")
    await server.time.advance(11)
    server.stalls, server.answers = None, [[1.0]]
    assert await (await server.call("c")) == [[1.0]]
    assert await waits == [[1.0]]
    looks.cancel()
    await settled()


async def test_a_server_that_asks_for_a_longer_pause_gets_it(server):
    server.answers = Refusal(503, b"", retry_after=8)
    task = await server.call()
    await server.time.advance(20)
    assert server.times == [0, 8, 16]
    server.answers = [[1.0]]
    await server.time.advance(20)
    await task


class TestRequests:
    REPLIES = (json_reply(LOADING.body.decode(), 503), json_reply(LOADING.body.decode(), 503))

    async def test_each_task_waits(self):
        async with answering([*self.REPLIES, json_reply([[1]])], cold_start_wait=9) as provider:
            assert await provider.embed("a") == [[1]]
        assert provider.waits == [1.0, 1.5]

    async def test_a_stream_begins_once_its_server_has_started(self):
        done = event_reply("data: [DONE]\n\n")
        async with answering([*self.REPLIES, done], cold_start_wait=9) as provider:
            assert await provider.deltas() == []
            (known,) = provider.hugging_face._endpoints.known()
        assert len(provider.calls) == 3
        assert (known.usage.calls, known.usage.errors) == (3, 2)
        assert known.usage.outcomes == {"waking_up": 2, "ok": 1}

    async def test_the_state_tells_of_it_while_a_stream_waits(self):
        waits = asyncio.Event()

        async def sleep(_: float) -> None:
            waits.set()
            await asyncio.Event().wait()

        async with answering(self.REPLIES[0], cold_start_wait=9, sleep=sleep) as provider:
            waiting = asyncio.ensure_future(provider.deltas())
            await waits.wait()
            (known,) = provider.hugging_face._endpoints.known()
            assert known.state == "waking_up"
            waiting.cancel()

    async def test_a_completion_waits(self):
        done = json_reply({"choices": []})
        async with answering([*self.REPLIES, done], cold_start_wait=9) as provider:
            assert await provider.complete() == []

    async def test_a_wait_in_vain_is_not_repeated(self):
        soon = Deadline.after(0.2)
        async with answering(self.REPLIES[0], cold_start_wait=9) as provider:
            hugging_face, chat = provider.hugging_face, provider.endpoint(TaskType.COMPLETION)
            error = await failing(hugging_face.embed(provider.endpoint(), ["a"], soon))
            await failing(hugging_face.complete(chat, "a", soon))
        assert error.provider_status == 503
        assert len(provider.calls) == 2

    async def test_nor_is_one_for_a_server_that_does_not_listen(self):
        async with answering(self.REPLIES[0], cold_start_wait=9) as provider:
            endpoint = make_endpoint(url=f"http://127.0.0.1:{free_ports()}/")
            embedding = provider.hugging_face.embed(endpoint, ["a"], Deadline.after(0.2))
            error = await failing(embedding)
        assert error.reason.endswith("Cause: Connection refused")
        assert provider.waits == []

    async def test_without_it_the_attempts_are_elasticsearchs(self):
        async with answering(Reply(status=503, body=LOADING.body)) as provider:
            await failing(provider.embed("a"))
        assert len(provider.calls) == 3
