"""What the application refuses because there is too much of it, from socket to answer."""

from __future__ import annotations

import asyncio
import gc
import gzip
import threading
from typing import Final

import cbor2
import pytest
from aiohttp import ClientRequest

from proxy.api.counting import METRICS
from proxy.ground.errors import ProxyError
from proxy.huggingface.retry import Failure
from proxy.inference.requests import InferenceRequest
from proxy.limits.memory import PER_BODY_BYTE
from proxy.limits.threads import THREADS, offload
from tests.support.application import proxy_with
from tests.support.stubs import JSON, FaultyServer, Reply, contract_reply, event_reply, json_reply

EMBED = "/_inference/text_embedding/e1"
STREAM = "/_inference/completion/e1/_stream"
CHAT = "/_inference/chat_completion/e1/_stream"
PUT_BODY = {"service": "hugging_face", "service_settings": {"url": "http://x/", "api_key": "x"}}
GZIP = {**JSON, "Content-Encoding": "gzip"}


async def until(holds):
    """Wait for something that no event tells of."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


async def called(proxy):
    async def holds():
        return proxy.provider.calls

    await until(holds)


def assert_rejected(answer, seconds="1"):
    assert answer.status == 429
    assert answer.headers["Retry-After"] == seconds


def reading(proxy, name):
    """What a gauge of the process shows."""
    return proxy.server.app[METRICS].registry.get_sample_value(f"hfproxy_{name}")


def limits_hit(proxy):
    """How many requests were refused because of each limit."""
    return {
        sample.labels["limit"]: sample.value
        for family in proxy.server.app[METRICS].registry.collect()
        for sample in family.samples
        if sample.name == "hfproxy_limits_hit_total"
    }


async def test_calls_beyond_the_limit_are_rejected_until_one_has_ended(tmp_path):
    async with proxy_with(tmp_path, calls=1) as proxy:
        await proxy.put("text_embedding")
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(proxy("POST", f"{EMBED}?timeout=1s", {"input": "__sleep__"}))
            await called(proxy)
            answer = await proxy("POST", EMBED, {"input": "x"})
            assert_rejected(answer)
            assert answer.json["error"]["type"] == "es_rejected_execution_exception"
            assert_rejected(await proxy("PUT", EMBED, {"service": "hugging_face"}))
            assert (await proxy("GET", EMBED)).status == 200
        assert slow.result().status == 429
        assert slow.result().json["error"]["type"] == "timeout_exception"
        assert (await proxy("POST", EMBED, {"input": "x"})).status == 200


def everybody_may(call):
    """An upstream that knows everybody: users are named like their keys."""
    actions = call.json["cluster"] if call.body else []
    user = call.headers.get("Authorization", "").split()[-1:]
    return json_reply({"username": "".join(user), "cluster": dict.fromkeys(actions, True)})


@pytest.mark.parametrize(
    ("limits", "secured", "shut_out"),
    [
        ({"streams": 1}, True, {"ApiKey a", "ApiKey b", "apikey a", "APIKEY   a"}),
        ({"streams_per_caller": 1}, True, {"ApiKey a", "apikey a", "APIKEY   a"}),
        # Where nobody looks at credentials, they tell nobody apart.
        (
            {"streams_per_caller": 1},
            False,
            {"ApiKey a", "ApiKey b", "apikey a", "APIKEY   a"},
        ),
    ],
)
async def test_streams_are_limited_in_all_and_for_each_caller(tmp_path, limits, secured, shut_out):
    async with (
        FaultyServer(everybody_may) as upstream,
        proxy_with(tmp_path, upstream=upstream.url if secured else None, **limits) as proxy,
    ):
        await proxy.put("completion")
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        body = b'{"input":"__sleep__"}'
        writer.write(
            f"POST {STREAM} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: ApiKey a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await called(proxy)
        for key in ("ApiKey a", "ApiKey b", "apikey a", "APIKEY   a"):
            answer = await proxy("POST", STREAM, {"input": "x"}, {"Authorization": key})
            if key in shut_out:
                assert_rejected(answer)
                ((event, data),) = answer.events
                assert event == "error"
                assert data["error"]["type"] == "es_rejected_execution_exception"
            else:
                assert answer.status == 200
        writer.close()  # the caller goes away: there is room again

        async def let_in():
            answer = await proxy("POST", STREAM, {"input": "x"}, {"Authorization": "ApiKey a"})
            return answer.status == 200

        await until(let_in)


async def test_callers_without_credentials_are_limited_by_their_address(tmp_path):
    async with proxy_with(tmp_path, streams_per_caller=1) as proxy:
        await proxy.put("completion")
        slow = b'{"input":"__sleep__"}'
        head = f"POST {STREAM} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Connection: close\r\nContent-Length: {len(slow)}\r\n\r\n"
        _, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.server.port, local_addr=("127.0.0.2", 0)
        )
        writer.write(head.encode() + slow)
        await called(proxy)
        reader, other = await asyncio.open_connection(
            "127.0.0.1", proxy.server.port, local_addr=("127.0.0.2", 0)
        )
        other.write(
            head.replace("Host: x", "Host: x\r\nX-Forwarded-For: 127.0.0.9").encode() + slow
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 429 ")
        assert (await proxy("POST", STREAM, {"input": "x"})).status == 200
        writer.close()
        other.close()


LINES: Final = {
    "text_embedding": ("POST", EMBED, {"input": "x"}),
    "completion": ("POST", STREAM, {"input": "x"}),
    "chat_completion": ("POST", CHAT, {"messages": [{"role": "user", "content": "x"}]}),
}


@pytest.mark.parametrize("task", LINES)
async def test_a_full_line_for_an_endpoint_is_refused_and_counted(tmp_path, task):
    async with proxy_with(tmp_path, queue_capacity=1) as proxy:
        slow = {"rate_limit": {"requests_per_minute": 1}}
        await proxy.put(task, service_settings=slow)  # has the first turn of this minute
        async with asyncio.TaskGroup() as group:
            method, target, body = LINES[task]
            first = group.create_task(proxy(method, target, body))

            async def waits():
                return reading(proxy, "rate_limit_waiting") == 1

            await until(waits)
            answer = await proxy(method, target, body)
            first.cancel()
        assert_rejected(answer, seconds="60")
        assert b"es_rejected_execution_exception" in answer.body
        assert b"] queue is full" in answer.body
        assert b'"hint":"As many requests wait for the endpoint' in answer.body
        assert limits_hit(proxy) == {"queue": 1}


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b'{"task_settings":' + b'{"a":' * 9 + b"1" + b"}" * 10, JSON, "nesting depth (9) exceeds"),
        (b'{"input":[' + b"1," * 50 + b"1]}", JSON, "Token count (51) exceeds"),
        (
            cbor2.dumps({"input": ["x"] * 60}),
            {"Content-Type": "application/cbor"},
            "the limit of its values",
        ),
        (
            b"input: [" + b"x, " * 60 + b"x]",
            {"Content-Type": "application/yaml"},
            "the limit of its values",
        ),
        (b'{"input":["1","2","3","4"]}', JSON, "the number of inputs [4] exceeds"),
    ],
)
async def test_bodies_that_are_small_but_too_much_are_refused(tmp_path, body, headers, words):
    async with proxy_with(tmp_path, nesting=8, values=50, inputs=3) as proxy:
        await proxy.put("text_embedding")
        answer = await proxy("POST", EMBED, body, {**headers, "Accept": "application/json"})
        assert answer.status == 400
        assert words in answer.body.decode()
        assert proxy.provider.calls == []
        assert (await proxy("POST", EMBED, {"input": ["1", "2", "3"]})).status == 200


@pytest.mark.parametrize("length", [3 << 30, 200_001])
async def test_a_declared_length_is_refused_before_a_byte_has_come(tmp_path, length):
    async with proxy_with(tmp_path, inference_body=200_000) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        writer.write(
            f"POST {EMBED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n".encode()
        )
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"}")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b'{"error":"request body is too large","status":413}')


async def test_bodies_share_the_memory_and_give_it_back(tmp_path):
    async with proxy_with(tmp_path, memory=100_000) as proxy:
        await proxy.put("text_embedding")
        large = b'{"input":"' + b"x" * 60_000 + b'"}'
        for body, headers in ((large, JSON), (gzip.compress(large), GZIP)):
            answer = await proxy("POST", EMBED, body, headers)
            assert_rejected(answer)
            assert answer.json["error"]["type"] == "circuit_breaking_exception"
            assert answer.json["error"]["durability"] == "TRANSIENT"
        fits = {"input": "x" * 20_000}
        for _ in range(3):
            assert (await proxy("POST", EMBED, fits)).status == 200


async def test_what_waits_to_be_read_is_bounded_by_the_memory(tmp_path):
    """Large bodies are read in a few threads; here those have other things to do."""
    body = b'{"input":"' + b"x" * 100_000 + b'"}'
    free = threading.Event()
    async with proxy_with(tmp_path, memory=(4 * PER_BODY_BYTE - 1) * len(body)) as proxy:
        await proxy.put("text_embedding")
        async with asyncio.TaskGroup() as group:
            for _ in range(THREADS):
                group.create_task(offload(1, 0, free.wait))
            waiting = [group.create_task(proxy("POST", EMBED, body)) for _ in range(3)]

            async def all_wait():
                return reading(proxy, "held_bytes") == 3 * PER_BODY_BYTE * len(body)

            try:
                await until(all_wait)
                answer = await proxy("POST", EMBED, body)
            finally:
                free.set()
        assert_rejected(answer)
        assert answer.json["error"]["type"] == "circuit_breaking_exception"
        assert limits_hit(proxy) == {"memory": 1}
        assert {task.result().status for task in waiting} == {200}


async def test_replies_count_as_memory_too(tmp_path):
    async with proxy_with(tmp_path, memory=100_000) as proxy:
        await proxy.put("text_embedding")
        proxy.provide(json_reply([[0.5] * 10_000]))
        answer = await proxy("POST", EMBED, {"input": "x"})
        assert_rejected(answer)
        answer = await proxy.put("text_embedding", "e2")  # says nothing of the endpoint
        assert_rejected(answer)
        assert answer.json["error"]["type"] == "circuit_breaking_exception"
        proxy.provide(json_reply([[0.5] * 1_000]))
        assert (await proxy("POST", EMBED, {"input": "x"})).status == 200


async def test_a_zip_bomb_is_refused_and_costs_no_more_than_the_limit(tmp_path):
    async with proxy_with(tmp_path, inference_body=2_000_000) as proxy:
        bomb = gzip.compress(b" " * 200_000_000, 9)
        answer = await proxy("POST", EMBED, bomb, GZIP)
        assert (answer.status, answer.reason) == (413, "request body is too large")


FAILURES: Final = {
    "connection refused": None,
    "connection lost": Reply(fault="reset"),
    "an error": json_reply({"error": "no"}, 503),
    "no JSON": Reply(body=b"x"),
    "a broken stream": event_reply("data: {x\n\n", fault="reset_after"),
}


def _requests_and_errors() -> list[object]:
    kinds = (ProxyError, Failure, ClientRequest, InferenceRequest)
    return [found for found in gc.get_objects() if isinstance(found, kinds)]


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_request_is_forgotten_at_once(tmp_path, failure):
    """Errors hold the frames that they came through, and those hold bodies."""
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy.put("completion", "e2")
        reply = FAILURES[failure]
        if reply is None:
            await proxy.provider.__aexit__(None, None, None)
        else:
            proxy.provide(reply)
        # What all requests to a URL have in common is kept.
        await proxy("PUT", "/_inference/text_embedding/e3", PUT_BODY)
        gc.collect()
        before = _requests_and_errors()  # other tests have theirs
        gc.disable()  # what is in a circle stays
        try:
            for inputs in ("x", ["x"] * 100):
                await proxy("POST", EMBED, {"input": inputs})
            await proxy("POST", "/_inference/completion/e2/_stream", {"input": "x"})
            await proxy("PUT", "/_inference/text_embedding/e3", PUT_BODY)
            await asyncio.sleep(0)
            known = set(map(id, before))
            assert [found for found in _requests_and_errors() if id(found) not in known] == []
        finally:
            gc.enable()


async def test_large_answers_are_whole(tmp_path):
    """They are written by the API itself, as long as they count as held."""
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        vector = [n / 7 for n in range(50_000)]
        proxy.provide(json_reply([vector]))
        answer = await proxy("POST", EMBED, {"input": "x"})
        assert len(answer.body) == int(answer.headers["Content-Length"])
        assert len(answer.json["text_embedding"][0]["embedding"]) == 50_000
        assert "Server" not in answer.headers


async def test_a_stream_of_a_hung_up_provider_leaves_no_trace(tmp_path):
    async with proxy_with(tmp_path, streams=1) as proxy:
        await proxy.put("completion")
        for _ in range(3):
            proxy.provide(event_reply("data: {x\n\n", fault="reset_after"))
            await proxy("POST", STREAM, {"input": "x"})
        proxy.provide(contract_reply)
        answer = await proxy("POST", STREAM, {"input": "x"})
        assert answer.status == 200
