"""Providers that die amid a stream: what has come is kept, and one well-formed error ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.application import proxy_with
from tests.support.stubs import BETWEEN_WRITES

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
TARGETS = {
    "chat_completion": ("/_inference/chat_completion/e1/_stream", HELLO),
    "completion": ("/_inference/completion/e1/_stream", {"input": "hello"}),
}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"


def event(**delta) -> bytes:
    value = {"id": "1", "choices": [{"index": 0, "delta": {"content": None, **delta}}]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def piece(arguments: str) -> bytes:
    call = {"index": 0, "id": "a", "type": "function"}
    return event(tool_calls=[{**call, "function": {"name": "f", "arguments": arguments}}])


def chunked(*parts: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


ONE = event(content="one")
HALF = ONE[:30]
DEATHS = {
    "between chunks": chunked(ONE),
    "amid a chunk": chunked(ONE) + b"ff\r\ndata: {",
    "amid the size of a chunk": chunked(ONE) + b"f",
    "amid an event": chunked(ONE, HALF),
    "amid an event, as if it were the end": CLOSING + ONE + HALF,
    "amid an event, as if it were its last chunk": chunked(ONE, HALF) + b"0\r\n\r\n",
    "before all that it announced": COUNTED + ONE,
    "with a chunk that is none": chunked(ONE) + b"zz\r\n",
    "with an error": chunked(ONE, b'data: {"error":{"message":"CUDA error"}}\n\n') + b"0\r\n\r\n",
    "with an error outside events": chunked(ONE, b'{"error":"CUDA error"}') + b"0\r\n\r\n",
    "with a page": chunked(ONE, b"<html>504 Gateway Time-out</html>\n") + b"0\r\n\r\n",
    "with bytes that are no text": chunked(ONE, b"data: \xff\xfe\n\n") + b"0\r\n\r\n",
    "amid the arguments of a call": chunked(ONE, piece('{"ci'), piece("ty")),
}


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """A server that sends these bytes, in turn, whatever it is asked, and hangs up.

    What follows the first event comes a little later.
    """
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, end, rest = left.pop(0).partition(ONE)
        writer.write(head + end)
        await asyncio.sleep(BETWEEN_WRITES)
        writer.write(rest)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
async def test_what_has_come_is_kept_and_one_error_follows(tmp_path, task, death):
    message = json.dumps({"choices": [{"message": {"content": "fine"}}]}).encode()
    fine = chunked(ONE) + b"0\r\n\r\n" if task == "chat_completion" else CLOSING + message
    async with answering(fine, death) as url, proxy_with(tmp_path) as proxy:
        put = await proxy.put(task, service_settings={"url": url})
        assert put.status == 200
        answer = await proxy("POST", *TARGETS[task])
    assert answer.status == 200
    *events, (last, error) = answer.events
    assert {name for name, _ in events} == {"message"}
    assert "one" in json.dumps(events[0])
    assert last == "error"
    shown = error["error"]
    assert shown["hint"]
    if task == "chat_completion":
        assert shown.keys() - {"code", "hint"} == {"message", "type"}
    else:
        assert shown.keys() - {"caused_by", "hint", "line", "col"} == {
            "type",
            "reason",
            "root_cause",
        }


async def test_a_stream_without_its_last_blank_line_has_not_died(tmp_path):
    fine = chunked(ONE) + b"0\r\n\r\n"
    for end in (b"data: [DONE]", b"data: [DONE]\n", ONE[:-2], ONE[:-1]):
        folder = tmp_path / str(len(end))
        folder.mkdir()
        async with answering(fine, CLOSING + ONE + end) as url, proxy_with(folder) as proxy:
            await proxy.put("chat_completion", service_settings={"url": url})
            answer = await proxy("POST", *TARGETS["chat_completion"])
        assert [data for _, data in answer.events][1:] == ["[DONE]"]
