"""Listening, draining, and what the lane logs."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from yarl import URL

from proxy.config import LimitsConfig
from proxy.lane import Lane, Patience
from tests.support.http1 import REFUSED
from tests.support.lanes import lane_test, make_lane
from tests.support.peers import BROKEN, GET, OK, Peer


def test_a_lane_that_intercepts_nothing_forwards_everything():
    async def scenario():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        lane = make_lane(url)
        caller = Peer(*await asyncio.open_connection(*await lane.listen("127.0.0.1", 0)))
        await caller.send(b"GET /_inference HTTP/1.1\r\nHost: es\r\n\r\n")
        assert await caller.read(len(OK)) == OK
        await caller.close()
        await lane.drain(1)
        server.close()

    asyncio.run(scenario())


@lane_test()
async def test_draining_finishes_what_is_under_way(world):
    idle, busy = await world.caller(), await world.caller()
    await world.exchange(idle)
    await busy.send(GET)
    peer = world.peers[-1]
    assert await peer.head() == GET
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(world.lane.drain(10))
        assert await idle.rest() == b""
        await idle.close()
        with pytest.raises(ConnectionRefusedError):
            await world.caller()
        assert not draining.done()
        await peer.send(OK)
        assert await busy.rest() == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await busy.close()  # or the lane would wait for that for a while
    assert await peer.rest() == b""


@lane_test()
async def test_draining_cuts_what_does_not_end(world):
    caller = await world.caller()
    await caller.send(GET)
    peer = await world.accept()
    await peer.head()
    await peer.send(BROKEN["sized"])
    await caller.head()
    await world.lane.drain(0.1)
    with pytest.raises(ConnectionResetError):
        await caller.rest()
    await peer.lost()


@lane_test()
async def test_an_address_in_use_is_an_oserror(world):
    with pytest.raises(OSError, match="in use"):
        await world.lane.listen(*world.address)


@lane_test()
async def test_two_may_share_a_port(world):
    one = make_lane("http://127.0.0.1:1")
    host, port = await one.listen("127.0.0.1", 0, reuse_port=True)
    two = make_lane("http://127.0.0.1:1")
    assert await two.listen(host, port, reuse_port=True) == (host, port)
    await one.drain(1)
    await two.drain(1)


@lane_test(patience=Patience(half_closed=0.1, linger=0.1))
async def test_no_secret_is_logged_or_answered(world, caplog):
    caplog.set_level(logging.DEBUG)
    secret = b"Authorization: Basic c2VjcmV0\r\nX-Token: c2VjcmV0\r\n"
    answers = b""
    for raw, _ in REFUSED.values():
        caller = await world.caller()
        await caller.send(raw[:-2] + secret + b"\r\n")
        caller.end()
        answers += await caller.rest()
    world.upstream.close()
    caller = await world.caller()
    await caller.send(b"GET /c2VjcmV0 HTTP/1.1\r\nHost: es\r\n" + secret + b"\r\n")
    await caller.error(503)
    assert "cannot connect to upstream" in caplog.text
    assert b"c2VjcmV0" not in answers
    assert "c2VjcmV0" not in caplog.text


async def hello(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n"


@pytest.mark.parametrize("target", [b"/", b"/_inference", b"/x?y"])
def test_without_a_node_the_application_answers_everything(target):
    async def scenario():
        runner = web.ServerRunner(web.Server(hello))
        await runner.setup()
        assert runner.server is not None
        for lane in (
            make_lane(application=runner.server),
            Lane.of_application(runner.server, LimitsConfig()),
        ):
            caller = Peer(*await asyncio.open_connection(*await lane.listen("127.0.0.1", 0)))
            for _ in range(2):
                await caller.send(b"GET " + target + b" HTTP/1.1\r\nHost: es\r\n\r\n")
                assert (await caller.head()).startswith(HELLO)
                assert await caller.read(5) == b"hello"
            await caller.close()
            await lane.drain(1)
        await runner.cleanup()

    asyncio.run(scenario())
