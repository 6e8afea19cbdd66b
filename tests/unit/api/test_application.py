"""What each route does, from socket to store and provider."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from proxy.ground.quoting import shortened
from tests.support.application import TASKS, proxy_with
from tests.support.samples import TOKEN
from tests.support.stubs import Reply, event_reply, json_reply


@pytest.mark.parametrize("task", TASKS)
async def test_each_task_can_be_put_used_and_deleted(proxy, task):
    answer = await proxy.put(task)
    assert answer.status == 200
    shown = answer.json
    assert TOKEN not in answer.body.decode()
    for target in (
        "/_inference/e1",
        f"/_inference/{task}/e1",
        "/_inference/_all",
        "/_inference",
        "/_inference/*",
        f"/_inference/{task}/_all",
    ):
        assert (await proxy("GET", target)).json == {"endpoints": [shown]}
    assert (await proxy("DELETE", "/_inference/e1?dry_run")).json["acknowledged"] is False
    assert (await proxy("DELETE", f"/_inference/{task}/e1?force=true")).json == {
        "acknowledged": True,
        "pipelines": [],
        "indexes": [],
    }
    assert (await proxy("GET", "/_inference/_all")).json == {"endpoints": []}


async def test_endpoints_are_sorted_and_may_be_of_one_task(proxy):
    for name, task in (("b", "rerank"), ("a", "rerank"), ("c", "completion")):
        await proxy.put(task, name)
    everything = (await proxy("GET", "/_inference/_all")).json["endpoints"]
    assert [one["inference_id"] for one in everything] == ["a", "b", "c"]
    some = (await proxy("GET", "/_inference/rerank/*")).json["endpoints"]
    assert [one["inference_id"] for one in some] == ["a", "b"]


async def test_an_update_changes_the_token_that_is_sent(proxy):
    await proxy.put("text_embedding")
    answer = await proxy(
        "PUT", "/_inference/text_embedding/e1/_update", {"service_settings": {"api_key": "new"}}
    )
    assert answer.status == 200
    assert b"new" not in answer.body
    await proxy("POST", "/_inference/e1", {"input": "x"})
    assert proxy.provider.calls[-1].headers["Authorization"] == "Bearer new"


async def test_a_put_that_is_not_valid_calls_nobody(proxy):
    for body in ({}, {"service": "hugging_face"}, {"service": "x"}, {"service": 5}, [1]):
        answer = await proxy("PUT", "/_inference/rerank/e1", body)
        assert answer.status == 400
    assert proxy.provider.calls == []


async def test_an_endpoint_is_put_once(proxy):
    await proxy.put("rerank")
    answer = await proxy.put("completion")
    assert (answer.status, answer.reason) == (400, "Inference endpoint [e1] already exists")


async def test_services_are_listed_by_task(proxy):
    (service,) = (await proxy("GET", "/_inference/_services")).json
    assert service["service"] == "hugging_face"
    assert (await proxy("GET", "/_inference/_services/Rerank")).json == [service]
    assert (await proxy("GET", "/_inference/_services/nope")).reason == "Unknown task_type [nope]"
    assert (await proxy("GET", "/_inference/_services?filter_path=name")).json == [
        {"name": "Hugging Face"}
    ]


@pytest.mark.parametrize(
    ("task", "body", "result"),
    [
        (
            "text_embedding",
            {"input": ["a"]},
            {"text_embedding": [{"embedding": [0.1, 0.2, 1.0]}]},
        ),
        (
            "sparse_embedding",
            {"input": "a"},
            {
                "sparse_embedding": [
                    {"is_truncated": False, "embedding": {"tok_a": 0.5, "tok_b": 1.0}}
                ]
            },
        ),
        (
            "rerank",
            {"input": ["a", "b"], "query": "q", "top_n": 1},
            {"rerank": [{"index": 1, "relevance_score": 0.9}]},
        ),
        ("completion", {"input": "a"}, {"completion": [{"result": "hello world"}]}),
    ],
)
async def test_each_task_answers_with_and_without_its_name(proxy, task, body, result):
    await proxy.put(task)
    for target in (
        "/_inference/e1",
        f"/_inference/{task}/e1",
        f"/_inference/{task.upper()}/e1",
    ):
        answer = await proxy("POST", target, body)
        assert (answer.status, answer.json) == (200, result)
        assert answer.headers["X-elastic-product"] == "Elasticsearch"


async def test_chat_is_only_streamed(proxy):
    await proxy.put("chat_completion")
    for target in ("/_inference/chat_completion/nope", "/_inference/e1"):
        answer = await proxy("POST", target, b"{x")
        assert answer.json["error"]["type"] == "unified_chat_completion_exception"


async def test_a_silent_provider_is_not_waited_for(proxy):
    await proxy.put("text_embedding")
    answer = await proxy("POST", "/_inference/e1?timeout=50ms", {"input": "__sleep__"})
    assert answer.status == 429
    assert answer.reason == "Request timed out after [50ms] for inference id [e1]"
    assert answer.json["error"]["timed_out"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"service": "hugging_face", "api_key": TOKEN, "service_settings": {"url": "http://h/"}},
        {"service": "hugging_face", "service_settings": {"api_key": TOKEN}},
        {"service": "x", "service_settings": {"api_key": TOKEN}},
        {"service": {"api_key": TOKEN}},
        {
            "service": "hugging_face",
            "service_settings": {"url": "http://a b", "api_key": TOKEN},
        },
        {
            "service": "hugging_face",
            "service_settings": {"url": "http://127.0.0.1:1/", "api_key": TOKEN},
        },
        {
            "service": "hugging_face",
            "task_settings": {"api_key": TOKEN},
            "service_settings": {"url": "http://h/", "api_key": "x"},
        },
    ],
)
async def test_a_refused_put_neither_shows_nor_logs_it(proxy, caplog, body):
    caplog.set_level(logging.DEBUG, logger="proxy")
    for target in ("/_inference/rerank/x", "/_inference/rerank/x/_update"):
        answer = await proxy("PUT", f"{target}?error_trace", body)
        assert answer.status >= 400
        assert TOKEN not in answer.body.decode()
    assert TOKEN not in caplog.text


async def test_a_provider_that_repeats_it_does_not_show_it(proxy, caplog):
    caplog.set_level(logging.DEBUG, logger="proxy")
    for task in TASKS:
        assert (await proxy.put(task, f"e-{task.replace('_', '-')}")).status == 200
    for reply in (
        json_reply({"error": f"bad {TOKEN}"}, 401),
        json_reply({"error": {"message": TOKEN}}, 500),
        Reply(body=TOKEN.encode()),
        event_reply(f"data: {TOKEN}\n\n"),
        event_reply(f'data: {{"error":{{"message":"{TOKEN}"}}}}\n\n'),
    ):
        proxy.provide(reply)
        for task in TASKS:
            name = f"e-{task.replace('_', '-')}"
            body: Any = {"input": "x"} | ({"query": "q"} if task == "rerank" else {})
            if task == "chat_completion":
                body = {"messages": [{"role": "user"}]}
            suffix = "/_stream" if "completion" in task else ""
            answer = await proxy("POST", f"/_inference/{name}{suffix}", body)
            assert TOKEN not in answer.body.decode()
    assert TOKEN not in caplog.text


async def test_a_malformed_put_does_not_quote_it(proxy):
    body = f'{{"service":"hugging_face","service_settings":{{"api_key":"{TOKEN}",}}}}'
    answer = await proxy("PUT", "/_inference/rerank/x", body.encode())
    assert answer.status == 400
    assert TOKEN not in answer.body.decode()


async def test_what_is_stored_is_sealed(proxy, tmp_path):
    await proxy.put("rerank")
    for path in tmp_path.iterdir():
        assert TOKEN.encode() not in path.read_bytes()


@pytest.mark.parametrize("length", [507, 513, 2000])
async def test_an_id_that_is_too_long_is_refused_before_the_provider_is_called(proxy, length):
    inference_id = "x" * length
    answer = await proxy.put("rerank", inference_id)
    assert answer.status == 400
    error = answer.json["error"]
    assert error["type"] == "action_request_validation_exception"
    problem = shortened(
        f"Invalid inference_id; '{inference_id}' is too long, must be no longer than 506 bytes but "
        f"was: {length}"
    )
    assert error["reason"] == f"Validation Failed: 1: {problem};"
    assert not proxy.provider.calls
    assert (await proxy("GET", f"/_inference/{inference_id}")).status == 404
    update = json.dumps({"service_settings": {"api_key": "hf_x"}}).encode()
    assert (await proxy("PUT", f"/_inference/rerank/{inference_id}/_update", update)).status == 404


async def test_settings_that_are_too_large_are_the_callers_mistake(tmp_path):
    async with proxy_with(tmp_path, inference_body=10_000_000) as proxy:
        settings = {"url": "http://h/" + "x" * 1_100_000, "api_key": "k"}
        body = json.dumps({"service": "hugging_face", "service_settings": settings}).encode()
        answer = await proxy("PUT", "/_inference/rerank/e1", body)
        assert answer.status == 400
        assert answer.json["error"]["type"] == "validation_exception"


async def test_a_connection_that_the_lane_keeps_is_never_closed_before_its_next_request(tmp_path):
    async with proxy_with(tmp_path, keepalive_timeout=0.05) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        writer.write(b"GET /_inference HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(len(b'{"endpoints":[]}'))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        writer.close()
