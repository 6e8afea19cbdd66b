"""Streams whose provider is silent for a while."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from proxy.api.heartbeats import Heartbeats
from proxy.ground.sse import HEARTBEAT, EventDecoder
from tests.support.application import proxy_with
from tests.support.stubs import event_reply

CHAT = "/_inference/chat_completion/e1/_stream"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
SHORT = 0.01  # seconds


class Caller:
    """What was written, in order; `lets` holds writes up."""

    def __init__(self):
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.lets = asyncio.Event()
        self.lets.set()
        self.is_gone = False

    async def write(self, frame):
        if self.is_gone:
            raise ConnectionResetError
        self.frames.put_nowait(frame)
        await self.lets.wait()


async def test_silence_is_filled_with_comments_and_frames_stay_in_order():
    caller = Caller()
    async with Heartbeats(caller.write, SHORT) as beating:
        assert await caller.frames.get() == HEARTBEAT
        assert await caller.frames.get() == HEARTBEAT
        while not caller.frames.empty():
            caller.frames.get_nowait()
        await beating.write(b"frame")
        assert await caller.frames.get() == b"frame"
        assert await caller.frames.get() == HEARTBEAT


async def test_nothing_is_sent_once_the_stream_has_ended():
    caller = Caller()
    async with Heartbeats(caller.write, SHORT):
        await caller.frames.get()
    before = caller.frames.qsize()
    await asyncio.sleep(5 * SHORT)
    assert caller.frames.qsize() == before


async def test_without_an_interval_there_are_none():
    caller = Caller()
    tasks = len(asyncio.all_tasks())
    async with Heartbeats(caller.write, 0) as beating:
        assert len(asyncio.all_tasks()) == tasks
        await beating.write(b"frame")
    assert caller.frames.qsize() == 1


async def test_a_caller_who_reads_slowly_gets_none_on_top():
    caller = Caller()
    caller.lets.clear()
    async with Heartbeats(caller.write, SHORT) as beating, asyncio.TaskGroup() as group:
        group.create_task(beating.write(b"frame"))
        await asyncio.sleep(5 * SHORT)
        assert caller.frames.qsize() == 1
        caller.lets.set()


async def test_a_caller_who_is_gone_ends_them():
    caller = Caller()
    caller.is_gone = True
    async with Heartbeats(caller.write, SHORT) as beating:
        await asyncio.sleep(3 * SHORT)
        with pytest.raises(ConnectionResetError):
            await beating.write(b"frame")


def chunk(text):
    choice = {"index": 0, "delta": {"content": text}}
    return "data: " + json.dumps({"id": "1", "choices": [choice]}) + "\n\n"


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("fault", [None, "reset_after"])
async def test_events_are_the_same_with_them_and_without(tmp_path, coding, fault):
    reply = event_reply(chunk("one"), chunk("two"), pause=0.3, fault=fault)
    found = []
    for interval in (0.0, 0.05):
        folder = tmp_path / str(interval)
        folder.mkdir()
        async with proxy_with(folder, stream_heartbeat=interval) as proxy:
            await proxy.put("chat_completion")
            proxy.provide(reply)
            answer = await proxy("POST", CHAT, HELLO, {"Accept-Encoding": coding})
        body = gzip.decompress(answer.body) if coding == "gzip" else answer.body
        assert (HEARTBEAT in body) is bool(interval)
        found.append(list(EventDecoder().feed(body)))
    assert found[0] == found[1]
    assert len(found[0]) == 3  # the last one is an error, or says that it was the last
