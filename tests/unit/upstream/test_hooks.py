"""What aiohttp's server must not add, nor answer by itself."""

from __future__ import annotations

import pytest

from tests.support.peers import GET, OK


@pytest.mark.parametrize("kind", ["server: es", "date: now", "content-type: text/plain"])
async def test_only_what_aiohttp_adds_is_taken_back(world, kind):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    answer = OK.replace(b"content-length", kind.encode() + b"\r\ncontent-length")
    await peer.send(answer)
    assert await caller.read(len(answer)) == answer


async def test_our_own_answers_name_no_server(world):
    caller = await world.caller()
    await caller.send(b"GET /x HTTP/1.1\r\nHost: es\r\nX-Mode: own\r\n\r\n")
    assert sorted((await caller.head()).split(b"\r\n")[1:-2]) == [
        b"Content-Length: 13",
        b"Content-Type: application/json; charset=utf-8",
    ]


async def test_requests_that_may_be_ours_are_told_to_continue(world):
    caller = await world.caller()
    await caller.send(
        b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
        b"X-Mode: inference\r\n\r\n"
    )
    assert await caller.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await caller.send(b"body")
    peer = await world.accept()
    assert b"Expect" not in await peer.head()
    assert await peer.read(4) == b"body"
