"""Calls to a provider that misbehaves on demand; retries do not wait."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from proxy.config import ProviderConfig
from proxy.errors import ProxyError
from proxy.huggingface.client import HuggingFace
from proxy.huggingface.ratelimit import RateLimiter
from proxy.huggingface.retry import RetryPolicy
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import TaskType
from proxy.inference.results import RankedDocument
from tests.support.samples import TOKEN, make_endpoint
from tests.support.stubs import Call, FaultyServer, Reply, event_reply, json_reply

ID = "for request from inference entity id [e1]"
SEND = "Failed to send Hugging Face {} request from inference entity id [e1]. Cause: {}"
HELLO = ChatRequest(messages=[{"content": "hello", "role": "user"}])


class Provider:
    """A HuggingFace, the server it calls, and the waits between its attempts."""

    def __init__(self, hugging_face: HuggingFace, server: FaultyServer, waits: list[float]) -> None:
        self.hugging_face = hugging_face
        self.server = server
        self.waits = waits

    def endpoint(self, task: TaskType = TaskType.TEXT_EMBEDDING, path: str = "/", **settings: Any):
        return make_endpoint(task, url=self.server.url + path, **settings)

    @property
    def calls(self) -> list[Call]:
        return self.server.calls

    @property
    def bodies(self) -> list[Any]:
        return [call.json for call in self.server.calls]

    async def embed(self, *inputs: str, **settings: Any):
        return await self.hugging_face.embed(self.endpoint(**settings), inputs)

    async def embed_sparse(self, *inputs: str, **settings: Any):
        endpoint = self.endpoint(TaskType.SPARSE_EMBEDDING, **settings)
        return await self.hugging_face.embed_sparse(endpoint, inputs)

    async def rerank(self, *documents: str, top_n=None, return_documents=None):
        return await self.hugging_face.rerank(
            self.endpoint(TaskType.RERANK),
            "query",
            documents,
            top_n=top_n,
            return_documents=return_documents,
        )

    async def complete(self, text: str = "hello", **settings: Any):
        return await self.hugging_face.complete(
            self.endpoint(TaskType.COMPLETION, **settings), text
        )

    async def deltas(self, **settings: Any) -> list[list[str]]:
        endpoint = self.endpoint(TaskType.COMPLETION, **settings)
        async with self.hugging_face.stream_completion(endpoint, "hello") as deltas:
            return [delta async for delta in deltas]

    async def chunks(self, request: ChatRequest = HELLO, **settings: Any) -> list[Any]:
        endpoint = self.endpoint(TaskType.CHAT_COMPLETION, **settings)
        async with self.hugging_face.stream_chat(endpoint, request) as chunks:
            return [chunk async for chunk in chunks]


@asynccontextmanager
async def answering(answer: Callable[[Call], Reply] | Sequence[Reply] | Reply, **settings: Any):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    replies = [answer] if isinstance(answer, Reply) else answer
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with FaultyServer(replies) as server, session:
        yield Provider(
            HuggingFace(
                session, ProviderConfig(**settings), RateLimiter(0), RetryPolicy(sleep=sleep)
            ),
            server,
            waits,
        )


async def failing(call) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await call
    json.dumps(caught.value.envelope())
    return caught.value


def vectors(call: Call) -> Reply:
    """One vector per input, which holds the number that the input is."""
    return json_reply([[float(text)] for text in call.json["inputs"]])


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


class TestBatches:
    async def test_results_come_in_the_order_of_the_inputs(self):
        inputs = [str(n) for n in range(10)]

        def slower_first(call: Call) -> Reply:
            first = int(call.json["inputs"][0])
            return json_reply([[float(t)] for t in call.json["inputs"]], delay=(9 - first) * 0.01)

        async with answering(slower_first, max_batch_inputs=2) as provider:
            assert await provider.embed(*inputs) == [[float(n)] for n in range(10)]
        assert len(provider.calls) == 5

    async def test_only_so_many_are_under_way_at_once(self):
        under_way = most = 0

        async def track(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way, most
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            inputs = json.loads(await reader.readexactly(length))["inputs"]
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            body = json.dumps([[1]] * len(inputs)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            writer.close()

        server = await asyncio.start_server(track, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with answering(Reply(), max_batch_inputs=1, concurrency=3) as provider:
            endpoint = make_endpoint(url=f"http://127.0.0.1:{port}/")
            await provider.hugging_face.embed(endpoint, [str(n) for n in range(9)])
        server.close()
        await server.wait_closed()
        assert most == 3

    async def test_reranked_documents_keep_their_own_numbers(self):
        def score(call: Call) -> Reply:
            ranked = [{"index": n, "score": float(t)} for n, t in enumerate(call.json["texts"])]
            return json_reply(ranked[::-1])

        async with answering(score, max_batch_inputs=2) as provider:
            ranked = await provider.rerank("3", "9", "5", "7", "1", top_n=3)
        assert ranked == [RankedDocument(1, 9.0), RankedDocument(3, 7.0), RankedDocument(2, 5.0)]

    async def test_ties_keep_the_order_of_the_reply(self):
        reply = [{"index": n, "score": s} for n, s in ((2, 0.5), (0, 0.5), (1, 0.9))]
        async with answering(json_reply(reply)) as provider:
            ranked = await provider.rerank("a", "b", "c")
        assert [document.index for document in ranked] == [1, 2, 0]

    @pytest.mark.parametrize("status", [413, 422])
    async def test_a_provider_that_takes_fewer_gets_fewer(self, status):
        def at_most_three(call: Call) -> Reply:
            if len(call.json["inputs"]) > 3:
                text = "batch size 9 > maximum allowed batch size 3"
                return json_reply({"error": text, "error_type": "Validation"}, status)
            return vectors(call)

        async with answering(at_most_three) as provider:
            inputs = [str(n) for n in range(10)]
            assert await provider.embed(*inputs) == [[float(n)] for n in range(10)]
            assert provider.waits == []

    async def test_a_lone_text_that_is_too_large_is_halved_and_marked(self):
        def short_only(call: Call) -> Reply:
            if len(call.json["inputs"][0]) > 2:
                return json_reply({"error": "too long"}, 413)
            return json_reply([{"a": 1}])

        async with answering(short_only) as provider:
            (vector,) = await provider.embed_sparse("abcdefgh")
        assert [body["inputs"] for body in provider.bodies] == [["abcdefgh"], ["abcd"], ["ab"]]
        assert vector.is_truncated

    async def test_reranked_documents_are_not_halved(self):
        async with answering(json_reply({"error": "too long"}, 413)) as provider:
            error = await failing(provider.rerank("abcdefgh"))
        assert [body["texts"] for body in provider.bodies] == [["abcdefgh"]] * 3
        assert error.status == 413

    async def test_a_batch_that_fails_ends_the_request_and_the_other_batches(self):
        def first_fails(call: Call) -> Reply:
            if call.json["inputs"][0] == "0":
                return json_reply({"error": "broken"}, 400, delay=0.05)
            return Reply(fault="hang")

        async with answering(first_fails, max_batch_inputs=1, concurrency=2) as provider:
            error = await failing(provider.embed(*"012345"))
        assert error.reason.endswith("Error message: [broken]")
        assert len(provider.calls) <= 3  # the place of the failed one may be taken once more

    async def test_a_reply_of_another_length_is_an_error(self):
        async with answering(json_reply([[1]])) as provider:
            error = await failing(provider.embed("a", "b"))
        assert error.status == 500
        assert error.reason == (
            "Error the number of embedding responses [1] does not equal the number of requests [2]"
        )

    async def test_an_empty_reply_to_one_of_several_batches_is_an_error(self):
        def second_only(call: Call) -> Reply:
            return json_reply([] if call.json["inputs"] == ["0"] else [[1]])

        async with answering(second_only, max_batch_inputs=1) as provider:
            await failing(provider.embed("0", "1"))

    async def test_a_sparse_reply_of_another_length_is_an_error(self):
        async with answering(json_reply([{"a": 1}]), max_batch_inputs=2) as provider:
            await failing(provider.embed_sparse("0", "1", "2"))


class TestFailures:
    async def test_a_failure_that_passes_is_tried_again(self):
        replies = [json_reply({"error": "busy"}, 503), json_reply([0.1]), json_reply([[1]])]
        async with answering(replies) as provider:
            assert await provider.embed("x") == [[1.0]]
        assert len(provider.waits) == 2

    async def test_three_attempts_are_made(self):
        async with answering(json_reply({"error": "loading", "estimated_time": 20.0}, 503)) as it:
            error = await failing(it.embed("x"))
        assert len(it.calls) == 3
        assert error.reason == (
            f"Received a rate limit status code {ID} status [503]. Error message: [loading]"
        )

    async def test_a_wait_that_is_asked_for_is_kept(self):
        replies = [json_reply({}, 503, headers={"Retry-After": "7"}), json_reply([[1]])]
        async with answering(replies) as provider:
            await provider.embed("x")
        assert provider.waits == [7.0]

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "soon",
            "-5",
            "Mon, 01 Jan 2024 00:00:00 GMT",
            "Mon, 01 Jan 99999 00:00:00 GMT",
            "1.5",
            "9" * 400,
            "Mon, 01 Jan 2024 00:00:00 +2500",
        ],
    )
    async def test_a_wait_that_is_none_does_no_harm(self, value):
        reply = json_reply({"error": "x"}, 503, headers={"Retry-After": value})
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.status == 400

    async def test_a_wait_in_no_time_zone_does_no_harm(self):
        value = "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"
        async with answering(json_reply({}, 503, headers={"Retry-After": value})) as provider:
            await failing(provider.embed("x"))

    async def test_an_empty_body_is_told_at_once(self):
        async with answering(Reply(body=b"")) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        cause = "Response body was empty " + ID
        assert (error.status, error.reason) == (500, SEND.format("text_embedding", cause))

    async def test_a_body_that_is_too_large_is_told_at_once(self):
        async with answering(Reply(body=b"x" * 2000), max_response_bytes=1000) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        assert error.reason == SEND.format(
            "text_embedding", "Maximum limit of [1000] bytes reached"
        )

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_redirects_are_not_followed(self, status):
        reply = Reply(status=status, headers={"Location": "/elsewhere"})
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        assert error.reason == f"Unhandled redirection {ID} status [{status}]"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(fault="reset"),
            Reply(chunks=[b"[[1"], fault="reset_after"),
            Reply(headers={"Content-Encoding": "gzip"}, body=b"no gzip"),
        ],
    )
    async def test_a_connection_that_breaks_off_is_tried_again(self, reply):
        async with answering([reply, json_reply([[1]])]) as provider:
            assert await provider.embed("x") == [[1.0]]
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.status == 500
        assert error.reason.startswith(SEND.format("text_embedding", ""))
        assert "127.0.0.1" not in error.reason

    async def test_a_provider_that_is_down_is_tried_again(self, unused_tcp_port):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url=f"http://127.0.0.1:{unused_tcp_port}/")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"]))
        assert len(provider.waits) == 2
        assert error.reason == SEND.format("text_embedding", "Connection refused")

    async def test_what_speaks_no_http_is_an_error(self):
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 ready\r\n")
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with answering(Reply()) as provider:
            for scheme in ("http", "https"):
                endpoint = make_endpoint(url=f"{scheme}://127.0.0.1:{port}/")
                error = await failing(provider.hugging_face.embed(endpoint, ["x"]))
                assert error.status == 500
        server.close()

    async def test_an_unknown_host_is_told_at_once(self):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url="http://nowhere.invalid/x")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"]))
        assert provider.waits == []
        assert (error.status, error.reason) == (
            400,
            "Invalid host [http://nowhere.invalid/x], please check that the URL is correct.",
        )

    @pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
    async def test_a_host_that_cannot_be_looked_up_is_unknown(self, host):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url=f"http://{host}/")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"]))
        assert error.status == 400

    async def test_an_error_in_several_packets_keeps_its_text(self):
        reply = Reply(status=400, chunks=[b'{"error":', b'"the text"}'])
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.reason.endswith("Error message: [the text]")

    async def test_an_endless_error_is_read_in_part(self):
        async with answering(Reply(status=400, body=b"x" * 10_000_000)) as provider:
            error = await failing(provider.embed("x"))
        assert len(error.reason) < 3000

    @pytest.mark.parametrize("status", [429, 500])
    async def test_completions_have_a_table_of_their_own(self, status):
        async with answering(json_reply({"error": {"message": "m"}}, status)) as provider:
            error = await failing(provider.complete())
        assert len(provider.calls) == {429: 1, 500: 3}[status]
        assert error.reason.endswith(f"{ID} status [{status}]. Error message: [m]")


def delta(text: str | None) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n"


CHUNK = {
    "id": "1",
    "choices": [{"index": 0, "delta": {"content": "ü"}}],
    "model": "m",
    "object": "o",
}


class TestStreams:
    async def test_deltas_come_one_by_one(self):
        reply = event_reply(
            ": hello\n\n", delta(None), delta("a"), delta(""), delta("b"), "data: [DONE]\n\n"
        )
        async with answering(reply) as provider:
            assert await provider.deltas() == [["a"], ["b"]]

    async def test_a_chunk_is_there_before_the_next_is_sent(self):
        more = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + delta("a").encode())
            await more.wait()
            writer.write(delta("b").encode())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = make_endpoint(TaskType.COMPLETION, url=f"http://127.0.0.1:{port}/")
        async with (
            answering(Reply()) as provider,
            provider.hugging_face.stream_completion(endpoint, "x") as deltas,
        ):
            assert await anext(deltas) == ["a"]
            more.set()
            assert [each async for each in deltas] == [["b"]]
        server.close()

    @pytest.mark.parametrize("ending", ["data: [DONE]\n\n", "data: [done]\n\n", ""])
    async def test_the_end_may_be_said_or_not(self, ending):
        async with answering(event_reply(delta("a"), ending)) as provider:
            assert await provider.deltas() == [["a"]]

    async def test_an_event_cut_off_at_the_end_is_lost(self):
        async with answering(event_reply(delta("a"), delta("b")[:-1])) as provider:
            assert await provider.deltas() == [["a"]]

    async def test_letters_may_be_cut_between_packets(self):
        data = f"data: {json.dumps(CHUNK, ensure_ascii=False)}\n\n".encode()
        reply = Reply(
            headers={"Content-Type": "text/event-stream"},
            chunks=[data[n : n + 1] for n in range(len(data))],
        )
        async with answering(reply) as provider:
            (chunk,) = await provider.chunks()
        assert chunk["choices"][0]["delta"]["content"] == "ü"

    async def test_a_call_is_tried_again_until_the_provider_answers(self):
        replies = [json_reply({"error": {"message": "busy"}}, 503), event_reply(delta("a"))]
        async with answering(replies) as provider:
            assert await provider.deltas() == [["a"]]
        assert len(provider.calls) == 2

    async def test_a_refusal_is_told_before_the_stream_begins(self):
        async with answering(json_reply({"error": "bad token"}, 401)) as provider:
            error = await failing(provider.chunks())
        assert error.status == 401
        assert error.envelope()["error"]["code"] == "unauthorized"

    async def test_a_stream_that_breaks_off_says_so_after_what_came(self):
        reply = event_reply(delta("a"), fault="reset_after")
        got = []
        async with answering(reply) as provider:
            endpoint = provider.endpoint(TaskType.COMPLETION)
            async with provider.hugging_face.stream_completion(endpoint, "x") as deltas:
                got.append(await anext(deltas))
                error = await failing(anext(deltas))
        assert got == [["a"]]
        assert error.status == 500
        assert error.reason.startswith(SEND.format("completion", ""))
        assert len(provider.calls) == 1

    async def test_a_stream_that_falls_silent_ends(self):
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + delta("a").encode())
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = make_endpoint(TaskType.COMPLETION, url=f"http://127.0.0.1:{port}/")
        async with (
            answering(Reply(), stream_idle_timeout=0.05) as provider,
            provider.hugging_face.stream_completion(endpoint, "x") as deltas,
        ):
            assert await anext(deltas) == ["a"]
            with pytest.raises(ProxyError) as caught:
                await anext(deltas)
        assert caught.value.reason == "Request timed out after [50ms] for inference id [e1]"
        server.close()

    async def test_a_stream_that_is_left_is_closed(self):
        closed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + delta("a").encode())
            await reader.read()
            closed.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = make_endpoint(TaskType.COMPLETION, url=f"http://127.0.0.1:{port}/")
        async with answering(Reply()) as provider:
            async with provider.hugging_face.stream_completion(endpoint, "x") as deltas:
                await anext(deltas)
            async with asyncio.timeout(5):
                await closed.wait()
        server.close()

    @pytest.mark.parametrize("data", ["x", "{}", "[]", "", '{"choices":[{}]}', "[" * 5000])
    async def test_an_event_that_is_none_ends_the_stream(self, data):
        reply = event_reply(f"data: {data}\n\n")
        async with answering(reply) as provider:
            await failing(provider.deltas())
            await failing(provider.chunks())


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
