"""Documents, streams and errors as callers get them, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest
from aiohttp import web

from proxy.api.answers import document, render_errors
from tests.support.requests import responder_of
from tests.support.samples import TOKEN
from tests.support.stubs import Reply, contract_reply, event_reply, json_reply


async def test_a_completion_is_streamed(proxy):
    await proxy.put("completion")
    answer = await proxy("POST", "/_inference/completion/e1/_stream", {"input": "x"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.events == [
        ("message", {"completion": [{"delta": "hello"}]}),
        ("message", {"completion": [{"delta": " world"}]}),
        ("message", "[DONE]"),
    ]


@pytest.mark.parametrize(
    "target", ["/_inference/e1/_stream", "/_inference/chat_completion/e1/_stream"]
)
async def test_a_chat_is_streamed(proxy, target):
    await proxy.put("chat_completion")
    answer = await proxy("POST", target, {"messages": [{"role": "user", "content": "x"}]})
    assert [event for event, _ in answer.events] == ["message"] * 4
    assert answer.events[0][1]["choices"][0]["delta"] == {"content": "hello"}


@pytest.mark.parametrize(
    ("target", "body", "beside"),
    [
        ("/x?pretty", {"a": 1}, False),
        ("/x?pretty", {"a": [0.5] * 100_000}, True),
        ("/x?filter_path=a", {f"k{number}": 1 for number in range(2000)}, False),
        ("/x?filter_path=*a*,*b*", {f"k{number}": 1 for number in range(2000)}, True),
    ],
)
async def test_what_takes_long_to_write_is_written_beside_the_event_loop(target, body, beside):
    threads = []

    class Noted(dict[str, object]):
        def items(self):
            threads.append(threading.get_ident())
            return super().items()

    answer = await document(responder_of(target), Noted(body))
    assert json.loads(answer.body) in (body, {})
    assert threads
    assert (threading.get_ident() not in threads) is beside


async def test_a_failure_before_the_stream_has_its_status(proxy):
    answer = await proxy("POST", "/_inference/completion/nope/_stream", {"input": "x"})
    assert answer.status == 404
    ((event, data),) = answer.events
    assert (event, data["status"]) == ("error", 404)
    answer = await proxy(
        "POST", "/_inference/chat_completion/nope/_stream", {"messages": [{"role": "u"}]}
    )
    assert answer.status == 404
    assert answer.events == [
        (
            "error",
            {
                "error": {
                    "code": "not_found",
                    "message": "Inference endpoint not found [nope]",
                    "type": "resource_not_found_exception",
                }
            },
        )
    ]


async def test_a_failure_in_the_middle_is_the_last_event(proxy):
    await proxy.put("completion")
    proxy.provide(
        event_reply('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', fault="reset_after")
    )
    answer = await proxy("POST", "/_inference/e1/_stream", {"input": "x"})
    assert answer.status == 200
    (first, _), (last, data) = answer.events
    assert (first, last, data["status"]) == ("message", "error", 500)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            json_reply({"id": "1", "choices": [{"index": 0, "message": {"content": "x"}}]}),
            'Expected an event stream but received [application/json]: {"id":"1"',
        ),
        (
            Reply(headers={"Content-Type": "text/html"}, body=b"<h1>Welcome</h1>"),
            "Expected an event stream but received [text/html]: <h1>Welcome</h1>",
        ),
        (Reply(body=b""), "Expected an event stream but received an empty answer"),
        (json_reply({"error": {"message": "no such model"}}), "[no such model]"),
    ],
)
async def test_no_chat_endpoint_is_made_of_what_does_not_stream(proxy, reply, reason):
    proxy.provide(reply)
    answer = await proxy.put("chat_completion")
    assert answer.status == 400
    assert reason in answer.json["error"]["caused_by"]["reason"]
    assert (await proxy("GET", "/_inference/e1")).status == 404


async def test_half_a_character_is_passed_on(proxy):
    await proxy.put("completion")
    await proxy.put("rerank", "e2")
    halves = [r"a\ud83d", r"\ude00b"]
    proxy.provide(
        event_reply(
            *(f'data: {{"choices":[{{"delta":{{"content":"{half}"}}}}]}}\n\n' for half in halves)
        )
    )
    answer = await proxy("POST", "/_inference/e1/_stream", {"input": "x"})
    texts = [data["completion"][0]["delta"] for _, data in answer.events[:-1]]
    assert texts == ["a\ud83d", "\ude00b"]
    proxy.provide(Reply(body=rb'{"choices":[{"message":{"content":"a\ud83d"}}]}'))
    for query in ("", "?pretty"):
        answer = await proxy("POST", f"/_inference/e1{query}", {"input": "x"})
        assert rb"a\ud83d" in answer.body
    proxy.provide(Reply(body=rb'[{"index":0,"score":1,"text":"\ude00b"}]'))
    for format in ("json", "yaml", "cbor"):
        body = {"input": "x", "query": "q"}
        answer = await proxy("POST", f"/_inference/rerank/e2?format={format}", body)
        assert answer.status == 200


async def test_other_tasks_are_not_streamed(proxy):
    await proxy.put("rerank")
    answer = await proxy("POST", "/_inference/e1/_stream", {"input": "x", "query": "q"})
    assert answer.status == 405
    assert answer.events[0][0] == "error"


@pytest.mark.parametrize("target", ["/_inference/foo/e1/_stream", "/_inference/e1/_stream?x=1"])
async def test_what_the_rest_layer_finds_stays_plain(proxy, target):
    answer = await proxy("POST", target, {"input": "x"})
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"


async def test_a_caller_that_goes_away_takes_the_providers_stream_along(proxy):
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.write(b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    await proxy.put("completion")
    slow = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = slow.sockets[0].getsockname()[1]
    proxy.provide(contract_reply)
    body = {
        "service": "hugging_face",
        "service_settings": {"url": f"http://127.0.0.1:{port}/", "api_key": TOKEN},
    }
    # The try of a PUT reads a whole answer: make the endpoint elsewhere, then look here.
    data = json.dumps({"messages": [{"role": "user"}]}).encode()
    answer = await proxy("PUT", "/_inference/chat_completion/slow", body)
    assert answer.status == 200
    gone.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
    writer.write(
        b"POST /_inference/slow/_stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
        b"\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
    )
    async with asyncio.timeout(5):
        assert b"200 OK" in await reader.readline()
        writer.close()
        await gone.wait()
    slow.close()


async def test_a_trace_is_shown_on_request(proxy):
    answer = await proxy("GET", "/_inference/nope?error_trace")
    error = answer.json["error"]
    assert "Inference endpoint not found [nope]" in error["stack_trace"]
    assert error["root_cause"][0]["stack_trace"]


async def test_the_callers_own_id_comes_back(proxy):
    for target in ("/_inference/_all", "/_inference/nope", "/_inference/a/b/c"):
        answer = await proxy("GET", target, headers={"X-Opaque-Id": "mine"})
        assert answer.headers["X-Opaque-Id"] == "mine"


async def test_aiohttp_adds_nothing(proxy):
    for target in ("/_inference/_all", "/_inference/nope"):
        answer = await proxy("GET", target)
        assert not {"Server", "Date"} & {name.title() for name in answer.headers}


async def test_an_unhandled_error_is_told_without_its_text(aiohttp_client, caplog):
    async def fail(request: web.Request) -> web.StreamResponse:
        raise RuntimeError("secret")

    app = web.Application(middlewares=[web.middleware(render_errors)])
    app.router.add_get("/_inference/x", fail)
    client = await aiohttp_client(app)
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/_inference/x?pretty", headers={"X-Opaque-Id": "mine"})
    body = await answer.json()
    assert (answer.status, body["error"]["reason"]) == (500, "internal error")
    assert "secret" not in await answer.text()
    assert answer.headers["X-Opaque-Id"] == "mine"
    assert "unhandled error" in caplog.text
