"""Streams, whole, cut and silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from proxy.ground.errors import MemoryShort, ProxyError
from proxy.ground.sessions import HEAD_LIMITS, BoundedProtocol, answer_head
from proxy.ground.sse import MAX_EVENT_BYTES
from proxy.ground.steps import Steps
from proxy.http1.bodies import chunk
from proxy.huggingface.calls import OpenReply
from proxy.huggingface.streams import Silence, read_events
from proxy.inference.endpoints import TaskType
from proxy.limits.memory import MemoryBudget
from proxy.limits.turns import Turns
from tests.support.huggingface import SEND, Provider, answering, failing, listening
from tests.support.samples import ID, PROFILE, TOKEN, make_endpoint
from tests.support.stubs import Reply, event_reply, json_reply


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
        async with answering(Reply()) as provider:
            with await provider.stream(endpoint) as deltas:
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
            with await provider.stream(endpoint) as deltas:
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
        async with answering(Reply(), stream_idle_timeout=0.05) as provider:
            with await provider.stream(endpoint) as deltas:
                assert await anext(deltas) == ["a"]
                with pytest.raises(ProxyError) as caught:
                    await anext(deltas)
        assert caught.value.reason == "Request timed out after [50ms] for inference id [e1]"
        server.close()

    async def test_only_streams_that_are_silent_end(self):
        silence, bodies = Silence(1.0), [_body(), _body()]
        streams = [
            read_events(make_endpoint(), _reply(body), silence, PROFILE, Turns()) for body in bodies
        ]
        silent = asyncio.ensure_future(failing(anext(streams[0])))
        for number in range(5):
            asyncio.get_running_loop().call_later(
                0.3, bodies[1].feed_data, delta(str(number)).encode()
            )
            assert str(number) in (await anext(streams[1])).data
        assert silent.done()
        await asyncio.sleep(1.3)  # in which nobody waits for more
        bodies[1].feed_data(delta("more").encode())
        assert "more" in (await anext(streams[1])).data

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
            with await provider.stream(endpoint) as deltas:
                await anext(deltas)
            async with asyncio.timeout(5):
                await closed.wait()
        server.close()

    async def test_a_connection_whose_answer_ends_behind_the_last_event_is_used_again(self):
        async with unended() as stub:
            assert await stub.deltas() == [["a"]]
            (answer,) = stub.provider.hugging_face._calls._ending
            ended = asyncio.Event()
            answer.content.on_eof(ended.set)
            stub.end()
            await ended.wait()
            assert await stub.deltas() == [["a"]]
            assert stub.connections == 1

    async def test_one_whose_answer_does_not_end_is_closed(self, monkeypatch):
        monkeypatch.setattr("proxy.huggingface.calls._SOON", 0.01)
        async with unended() as stub:
            assert await stub.deltas() == [["a"]]
            async with asyncio.timeout(5):
                await stub.closed.wait()
            assert not stub.provider.hugging_face._calls._ending

    async def test_those_whose_answer_is_about_to_end_keep_no_call_waiting(self, monkeypatch):
        monkeypatch.setattr("proxy.huggingface.calls._SOON", 60)
        monkeypatch.setattr("proxy.huggingface.calls.MOST_ENDING", 4)
        async with unended(most=1) as stub, asyncio.timeout(10):
            for _ in range(6):
                assert await stub.deltas() == [["a"]]
            assert len(stub.provider.hugging_face._calls._ending) == 4

    @pytest.mark.parametrize("data", ["x", "{}", "[]", "", '{"choices":[{}]}', "[" * 5000])
    async def test_an_event_that_is_none_ends_the_stream(self, data):
        reply = event_reply(f"data: {data}\n\n")
        async with answering(reply) as provider:
            await failing(provider.deltas())
            await failing(provider.chunks())

    @pytest.mark.parametrize(
        "heartbeat",
        ["data:\n\n", "data\n\n", "data: \n\n", "data:  \ndata:\n\n", "event: message\ndata:\n\n"],
    )
    @pytest.mark.parametrize("event", ["", "event: ping\n", "event: error\n"])
    async def test_an_event_without_data_is_nothing(self, heartbeat, event):
        beat = event + heartbeat
        chunk = f"data: {json.dumps(CHUNK)}\n\n"
        async with answering(event_reply(beat, delta("a"), beat, delta("b"), beat)) as provider:
            assert await provider.deltas() == [["a"], ["b"]]
        async with answering(event_reply(beat, chunk, beat, "data: [DONE] \n\n")) as provider:
            assert len(await provider.chunks()) == 1

    async def test_half_a_character_at_the_end_of_a_chunk_is_passed_on(self):
        halves = [r"a\ud83d", r"\ude00b"]
        events = [
            f'data: {{"choices":[{{"delta":{{"content":"{half}"}}}}]}}\n\n' for half in halves
        ]
        async with answering(event_reply(*events)) as provider:
            assert await provider.deltas() == [["a\ud83d"], ["\ude00b"]]


class Unended:
    """A provider whose answers end only when told to, though their last events have come."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.url = ""
        self.connections = 0
        self.end: Callable[[], None]
        self.closed = asyncio.Event()

    async def deltas(self) -> list[list[str]]:
        endpoint = make_endpoint(TaskType.COMPLETION, url=self.url)
        with await self.provider.stream(endpoint) as deltas:
            return [each async for each in deltas]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        events = (delta("a") + "data: [DONE]\n\n").encode()
        while b"\r\n\r\n" in await reader.read(10_000):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%b\r\n" % (len(events), events))
            self.end = partial(writer.write, b"0\r\n\r\n")
        self.closed.set()
        writer.close()


@contextlib.asynccontextmanager
async def unended(most: int = 100) -> AsyncIterator[Unended]:
    async with answering(Reply(), most=most) as provider:
        stub = Unended(provider)
        async with listening(stub.serve) as stub.url:
            yield stub


ERROR = {"code": 400, "message": "context size exceeded", "type": "t"}
RECEIVED = f"Received an error response {ID}. Error message: [context size exceeded]"


class TestAnswersThatAreNoStream:
    """Elasticsearch takes each for an empty answer; here each has failed."""

    async def read(self, reply: Reply) -> tuple[ProxyError, ProxyError]:
        async with answering(reply) as provider:
            return await failing(provider.deltas()), await failing(provider.chunks())

    @pytest.mark.parametrize(
        "body",
        [
            f"error: {json.dumps(ERROR)}\n\n",
            f"event: error\ndata: {json.dumps(ERROR)}\n\n",
            f"data: {json.dumps({'error': ERROR})}\n\n",
            json.dumps({"error": ERROR}),
            json.dumps({"error": ERROR}, indent=2) + "\n\n",
            json.dumps({"error": ERROR["message"]}),
            json.dumps({"object": "error", "message": ERROR["message"]}),
        ],
    )
    async def test_the_providers_text_is_kept(self, body):
        for error in await self.read(event_reply(body)):
            assert (error.status, error.reason) == (400, RECEIVED)

    async def test_an_error_behind_events_is_kept(self):
        for behind in (
            f"error: {json.dumps(ERROR)}\n\n",
            json.dumps({"error": ERROR}),
            f"data: {json.dumps({'error': ERROR})}",
            f"event: error\ndata: {json.dumps(ERROR)}",
            f"event: error\ndata: {ERROR['message']}\n",
        ):
            got = []
            async with answering(event_reply(delta("a"), behind)) as provider:
                endpoint = provider.endpoint(TaskType.COMPLETION)
                with await provider.stream(endpoint) as deltas:
                    got.append(await anext(deltas))
                    error = await failing(anext(deltas))
            assert got == [["a"]]
            assert error.reason == RECEIVED

    @pytest.mark.parametrize(
        ("behind", "shown"),
        [
            ("error: out of memory\n\n", "error: out of memory"),
            ("<html>\n  <p>502\n", "<html> <p>502"),
            ("<html>502</html>", "<html>502</html>"),
            ('{"detail": "no"}', '{"detail": "no"}'),
            ("dat", "dat"),
            (f"no {TOKEN}\n", "no ********"),
        ],
    )
    async def test_text_behind_events_that_is_none_is_an_error(self, behind, shown):
        chunk = f"data: {json.dumps(CHUNK)}\n\n"
        for error in await self.read(event_reply(chunk, behind)):
            assert error.reason.endswith(f"Cause: The event stream ended with: {shown}")
        async with answering(event_reply(chunk, "other: x\n\n", chunk, ": end\n\n")) as provider:
            assert len(await provider.chunks()) == 2

    @pytest.mark.parametrize(
        ("content_type", "body", "came"),
        [
            (
                "application/json",
                '{"id": "1",\n "choices": [{"message": {"content": "hi"}}]}',
                '[application/json]: {"id": "1", "choices": [{"message": {"content": "hi"}}]}',
            ),
            (
                "text/html; charset=utf-8",
                "<!DOCTYPE html>\n\n<title>Sign in</title>\n",
                "[text/html; charset=utf-8]: <!DOCTYPE html> <title>Sign in</title>",
            ),
            ("text/plain", "Error: overloaded\n", "[text/plain]: Error: overloaded"),
            ("text/event-stream", "", "an empty answer"),
            ("text/event-stream", ": ping\n\ndata:\n\n", "an empty answer"),
            ("text/plain", f"key {TOKEN} is unknown", "[text/plain]: key ******** is unknown"),
            (f"x/{TOKEN}", "x", "[x/********]: x"),
            ("text/plain", "x" * 5000, f"[text/plain]: {'x' * 200}…"),
        ],
    )
    async def test_others_say_what_came(self, content_type, body, came):
        reply = Reply(headers={"Content-Type": content_type}, body=body.encode())
        cause = f"Expected an event stream but received {came}"
        for task, error in zip(
            ("completion", "chat_completion"), await self.read(reply), strict=True
        ):
            assert (error.status, error.reason) == (500, SEND.format(task, cause))

    async def test_a_stream_that_only_ends_is_an_empty_answer(self):
        async with answering(event_reply("data: [DONE]\n\n")) as provider:
            assert await provider.deltas() == await provider.chunks() == []


def choices(count: int, delta: str = '{"content":"a"}') -> str:
    each = f'{{"index":0,"delta":{delta}}}'
    listed = ",".join([each] * count)
    return f'data: {{"id":"1","model":"m","object":"o","choices":[{listed}]}}\n\n'


class TestFloods:
    async def test_an_event_that_does_not_end_is_refused(self):
        reply = event_reply("data: ", "x" * (MAX_EVENT_BYTES + 1))
        async with answering(reply) as provider:
            error = await failing(provider.deltas())
        assert error.reason.endswith("Cause: an event of the stream is too large")

    async def test_what_has_come_of_an_event_counts_as_memory(self):
        budget, size = MemoryBudget(1 << 30), MAX_EVENT_BYTES // 2
        async with answering(event_reply("data: ", "x" * size, fault="reset_after")) as provider:
            with budget.request():
                await failing(provider.deltas())
                assert budget.reserved >= 4 * size
            assert budget.reserved == 0

    async def test_it_counts_once_for_all_events(self):
        budget = MemoryBudget(1 << 30)
        async with answering(event_reply(*[delta("a" * 5000)] * 100)) as provider:
            with budget.request():
                assert len(await provider.deltas()) == 100
                assert budget.reserved < 1024 * 1024

    async def test_a_stream_without_memory_ends_and_is_no_failure_of_its_provider(self, caplog):
        async with answering(event_reply("data: ", "x" * 100_000)) as provider:
            with MemoryBudget(100_000).request(), pytest.raises(MemoryShort):
                await provider.deltas()
        assert caplog.records == []

    @pytest.mark.parametrize("text", ['{"content":"a"}', '{"content":1}', "{}"])
    async def test_an_event_of_many_choices_is_refused(self, text):
        async with answering(event_reply(choices(1024))) as provider:
            assert len(await provider.deltas()) == 1
            assert len((await provider.chunks())[0]["choices"]) == 1024
        async with answering(event_reply(choices(1025, text))) as provider:
            for error in (await failing(provider.deltas()), await failing(provider.chunks())):
                assert "[choices] holds more than [1024] objects" in error.reason

    @pytest.mark.parametrize("piece", [": x\n", "data:\n\n", "id: 1\n", delta("a"), "\n"])
    async def test_others_get_their_turn_amid_what_came_at_once(self, piece):
        text = piece * (400_000 // len(piece))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.ensure_future(others())
        reply = _reply(_all_at_once(text.encode()))
        events = read_events(make_endpoint(), reply, Silence(5), PROFILE, Turns())
        with contextlib.suppress(ProxyError):  # a stream of nothing
            async for _ in events:
                pass
        other.cancel()
        assert turns > 20

    async def test_events_take_turns_with_those_of_other_streams_but_for_the_first_one(self):
        turns, (protocol, reply) = Turns(), await _begun()
        events = read_events(make_endpoint(), reply, Silence(5), PROFILE, turns)
        for number, waits in enumerate((False, True, True)):
            others: list[str] = []
            turns.worked(turns.busy, 1.0)
            asyncio.get_running_loop().call_soon(others.append, "go on")
            protocol.data_received(_chunk(delta(str(number))))
            assert str(number) in (await anext(events)).data
            assert bool(others) is waits

    async def test_what_comes_with_the_first_event_waits_for_its_turn(self):
        content, turns = _body(), Turns()
        reply = _reply(content)
        events = read_events(make_endpoint(), reply, Silence(5), PROFILE, turns)
        content.feed_data("".join(map(delta, "abc")).encode())
        turns.worked(turns.busy, 1.0)
        others: list[str] = []
        asyncio.get_running_loop().call_soon(others.append, "go on")
        for text, has_waited in (("a", False), ("b", True), ("c", True)):
            assert text in (await anext(events)).data
            assert bool(others) is has_waited

    async def test_what_comes_while_a_stream_waits_for_its_turn_is_read_with_the_rest(self):
        turns, (protocol, reply) = Turns(), await _begun()
        events = read_events(make_endpoint(), reply, Silence(5), PROFILE, turns)
        protocol.data_received(_chunk(delta("a")))
        await anext(events)
        turns.worked(turns.busy, 1.0)
        more = delta("c") + ": much more\n" * 2000
        protocol.data_received(_chunk(delta("b")))
        protocol.data_received(_chunk(more))
        assert reply.content.total_bytes == len(delta("a"))
        budget = MemoryBudget(1 << 30)
        with budget.request():
            await anext(events)
            assert reply.content.read_nowait() == b""
            assert '"c"' in (await anext(events)).data
            assert budget.reserved > len(more)


class _Transport(asyncio.Transport):
    def resume_reading(self) -> None:
        """It always reads."""


async def _begun() -> tuple[BoundedProtocol, OpenReply]:
    """A reply of which the head has come, and the connection on which the rest does."""
    loop = asyncio.get_running_loop()
    protocol = BoundedProtocol(loop, Steps())
    protocol.connection_made(_Transport())
    protocol.set_response_params(**HEAD_LIMITS)
    protocol.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _, content = await answer_head(protocol)
    return protocol, _reply(content, protocol)


def _chunk(text: str) -> bytes:
    return chunk(text.encode())


def _all_at_once(data: bytes) -> StreamReader:
    """A body that has come completely."""
    content = _body(len(data))
    content.feed_data(data)
    content.feed_eof()
    return content


def _body(limit: int = 1000) -> StreamReader:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return StreamReader(protocol, limit=limit, loop=loop)


def _reply(content: StreamReader, protocol: BoundedProtocol | None = None) -> OpenReply:
    """A reply that nobody closes."""
    connection = SimpleNamespace(protocol=protocol)
    answer: Any = SimpleNamespace(content=content, headers={}, connection=connection)
    return OpenReply(answer, cast(Any, None), cast(Any, None))
