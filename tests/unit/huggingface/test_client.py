"""Each task, from its method to the call and back."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from proxy.ground.errors import ProxyError
from proxy.inference.chat import ChatRequest
from tests.support.huggingface import HELLO, answering
from tests.support.samples import TOKEN
from tests.support.stubs import Reply, event_reply, json_reply


class TestRequests:
    async def test_the_url_is_called_as_it_stands_without_its_fragment(self):
        async with answering(json_reply([[1]])) as provider:
            await provider.embed("x", path="/a%2Fb/?c=d%20e&f=+#fragment")
        (call,) = provider.calls
        assert (call.method, call.target) == ("POST", "/a%2Fb/?c=d%20e&f=+")
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert call.headers["Content-Type"].startswith("application/json")
        assert "Cookie" not in call.headers

    async def test_letters_beyond_ascii_are_escaped(self):
        async with answering(json_reply([[1]])) as provider:
            await provider.embed("x", path="/ü?q=é")
        assert provider.calls[0].target == "/%C3%BC?q=%C3%A9"

    async def test_each_task_has_its_own_body(self):
        replies = [
            json_reply([[1]]),
            json_reply([{"a": 1}]),
            json_reply([]),
            json_reply({"choices": []}),
            event_reply("data: [DONE]\n\n"),
        ]
        async with answering(replies) as provider:
            await provider.embed("a😀")
            await provider.embed_sparse("b")
            await provider.rerank("c", "d", top_n=3, return_documents=False)
            await provider.complete("e", model_id="m")
            assert await provider.deltas() == []
        messages = [{"content": "hello", "role": "user"}]
        assert [json.dumps(body) for body in provider.bodies] == [
            json.dumps(body)
            for body in (
                {"inputs": ["a😀"]},
                {"inputs": ["b"]},
                {"texts": ["c", "d"], "query": "query", "return_text": False, "top_n": 3},
                {
                    "messages": [{"content": "e", "role": "user"}],
                    "model": "m",
                    "n": 1,
                    "stream": False,
                },
                {
                    "messages": messages,
                    "n": 1,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                },
            )
        ]

    async def test_a_chat_goes_out_in_elasticsearchs_order(self):
        request = ChatRequest(
            messages=HELLO.messages,
            model="own",
            max_completion_tokens=5,
            stop=["x"],
            temperature=0.0,
            top_p=1.0,
            tool_choice="auto",
            tools=[{"type": "function"}],
        )
        async with answering(event_reply("data: [DONE]\n\n")) as provider:
            await provider.chunks(request, model_id="stored")
            await provider.chunks(model_id="stored")
            await provider.chunks(ChatRequest(messages=HELLO.messages, stop=[], tools=[]))
        rest = {"n": 1, "stream": True, "stream_options": {"include_usage": True}}
        assert [json.dumps(body) for body in provider.bodies] == [
            json.dumps({"messages": HELLO.messages, **more, **rest})
            for more in (
                {
                    "stop": ["x"],
                    "temperature": 0.0,
                    "tool_choice": "auto",
                    "tools": [{"type": "function"}],
                    "top_p": 1.0,
                    "max_tokens": 5,
                    "model": "own",
                },
                {"model": "stored"},
                {},
            )
        ]

    async def test_integers_of_any_size_reach_the_provider(self):
        async with answering(event_reply("data: [DONE]\n\n")) as provider:
            await provider.chunks(ChatRequest(messages=[{"content": 10**30}]))
        assert str(10**30).encode() in provider.calls[0].body

    async def test_texts_are_cut_to_the_tokens_that_are_read(self):
        async with answering(lambda call: json_reply([[1]] * len(call.json["inputs"]))) as provider:
            await provider.embed("abcdefgh", "xy", max_input_tokens=2)
        assert provider.bodies == [{"inputs": ["abcdef", "xy"]}]


class TestCancellation:
    @pytest.mark.parametrize("task", ["embed", "complete", "deltas", "chunks"])
    async def test_a_caller_that_goes_away_takes_the_call_along(self, task):
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            arrived.set()
            while await reader.read(1000):
                pass
            gone.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with answering(Reply()) as provider:
            provider.server.url = f"http://127.0.0.1:{port}"
            arguments = ["x"] if task == "embed" else []
            async with asyncio.timeout(5):
                async with asyncio.TaskGroup() as group:
                    call = group.create_task(getattr(provider, task)(*arguments))
                    await arrived.wait()
                    call.cancel()
                await gone.wait()
        assert call.cancelled()
        server.close()


class TestTokens:
    @pytest.mark.parametrize(
        "reply",
        [
            json_reply({"error": f"bad token {TOKEN}"}, 401),
            json_reply({"error": {"message": TOKEN}}, 403),
            Reply(status=500, body=TOKEN.encode()),
            Reply(body=f'["{TOKEN}"]'.encode()),
            Reply(body=f'{{"{TOKEN}":"{TOKEN}"}}'.encode()),
            Reply(fault="reset"),
            Reply(status=302, headers={"Location": f"http://x/{TOKEN}"}),
            Reply(headers={"Content-Encoding": "gzip"}, body=TOKEN.encode()),
        ],
    )
    async def test_no_failure_shows_or_logs_them(self, reply, caplog):
        caplog.set_level(logging.DEBUG, logger="proxy")
        async with answering(reply) as provider:
            for call in (
                provider.embed("x"),
                provider.rerank("x"),
                provider.complete(),
                provider.chunks(),
            ):
                outcome: object = (await asyncio.gather(call, return_exceptions=True))[0]
                if isinstance(outcome, ProxyError):
                    assert TOKEN not in json.dumps(outcome.envelope())
                else:
                    assert outcome == []  # a stream without events
        assert TOKEN not in caplog.text
