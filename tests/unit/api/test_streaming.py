"""What is sent together of a stream of events."""

from __future__ import annotations

import asyncio
import gc
import weakref
import zlib
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from aiohttp.test_utils import make_mocked_request

from proxy.api.streaming import EventAnswer
from proxy.http1 import LAST_CHUNK, chunk
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for


class Sent(asyncio.Transport):
    """The transport of a caller: what was sent to it, packet by packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.has_left = False

    def write(self, data: Any) -> None:
        self.packets.append(bytes(data))

    def is_closing(self) -> bool:
        return self.has_left


class Call:
    """As much of a call as an answer needs."""

    def __init__(self, responder: Any) -> None:
        self.responder = responder
        self.warnings = ["299 careful"]


class Caller:
    """A caller who gets a stream."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self.sent = Sent()
        self.protocol = BaseProtocol(asyncio.get_running_loop())
        self.protocol.transport = self.sent
        writer = StreamWriter(self.protocol, asyncio.get_running_loop())
        request = make_mocked_request("POST", "/_inference/e/_stream", headers, writer=writer)
        rest = parse_request(request.method, request.raw_path, request.headers)
        call: Any = Call(responder_for(rest))
        self.answer = EventAnswer(request, call)


async def test_the_head_is_sent_with_the_events_that_have_come():
    caller = Caller()

    async def write() -> None:
        await caller.answer.write_frame(b"one")
        await caller.answer.write_frame(b"two")
        assert caller.sent.packets == []
        await asyncio.sleep(0)
        assert len(caller.sent.packets) == 1
        await caller.answer.write_frame(b"three")
        await caller.answer.end(b"four")

    await caller.answer.gathering(write())
    first, last = caller.sent.packets
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"Warning: 299 careful" in head
    assert body == chunk(b"onetwo")
    assert last == chunk(b"threefour") + LAST_CHUNK


async def test_the_head_waits_for_no_event():
    caller = Caller()
    writing = asyncio.ensure_future(_waiting(caller))
    await asyncio.sleep(0)
    (head,) = caller.sent.packets
    assert head.endswith(b"\r\n\r\n")
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert len(caller.sent.packets) == 1


async def _waiting(caller: Caller) -> None:
    await caller.answer.gathering(asyncio.Event().wait())


async def test_what_others_write_meanwhile_is_sent_at_once():
    caller = Caller()
    writing = asyncio.ensure_future(_waiting(caller))
    await asyncio.sleep(0)
    await caller.answer.write_frame(b": heartbeat")
    assert caller.sent.packets[1:] == [chunk(b": heartbeat")]
    writing.cancel()


async def test_no_more_is_gathered_than_a_caller_who_reads_slowly_may_keep_waiting():
    caller = Caller()

    async def write() -> None:
        for _ in range(3):
            await caller.answer.write_frame(b"x" * 40_000)

    await _gathering(caller, write())
    assert [len(packet) > 80_000 for packet in caller.sent.packets] == [True, False]
    caller.sent.packets.clear()
    caller.protocol.pause_writing()
    writing = asyncio.ensure_future(_gathering(caller, write()))
    await asyncio.sleep(0)
    assert caller.sent.packets == [chunk(b"x" * 40_000)]  # the next ones are not asked for
    caller.protocol.resume_writing()
    await writing


async def _gathering(caller: Caller, writing: Any) -> None:
    await caller.answer.gathering(writing)


async def test_a_caller_who_has_left_gets_nothing_more():
    caller = Caller()
    caller.sent.has_left = True
    with pytest.raises(ConnectionError):
        await _gathering(caller, caller.answer.write_frame(b"one"))
    assert caller.sent.packets == []


async def test_what_is_sent_together_is_compressed_together():
    caller = Caller({"Accept-Encoding": "deflate"})

    async def write() -> None:
        await caller.answer.write_frame(b"one")
        await caller.answer.write_frame(b"two")
        await asyncio.sleep(0)
        await caller.answer.end(b"three")

    await caller.answer.gathering(write())
    first, last = caller.sent.packets
    head, _, body = first.partition(b"\r\n\r\n")
    assert b"content-encoding: deflate" in head
    decoder = zlib.decompressobj()
    assert decoder.decompress(_payload(body)) == b"onetwo"
    assert decoder.decompress(_payload(last.removesuffix(LAST_CHUNK))) == b"three"
    assert decoder.eof


def _payload(framed: bytes) -> bytes:
    size, _, rest = framed.partition(b"\r\n")
    return rest[: int(size, 16)]


async def test_a_stream_that_is_cancelled_is_forgotten_at_once():
    caller = Caller()
    answer = weakref.ref(caller.answer)
    stream = asyncio.ensure_future(_waiting(caller))
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()  # what is in a circle stays
    try:
        stream.cancel()
        await asyncio.wait([stream])
        del stream, caller
        assert answer() is None
    finally:
        gc.enable()
