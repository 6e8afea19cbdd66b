"""Callers who speak TLS, from their first packet on."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import LimitsConfig
from tests.support.certificates import contexts
from tests.support.lanes import LOOPS, make_lane
from tests.support.peers import GET, OK, Peer

HALF = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the beginning of a ClientHello


class Upstream(asyncio.Protocol):
    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._transport.write(OK * data.count(b"\r\n\r\n"))


class World:
    def __init__(self, lane, address, client):
        self.lane = lane
        self._address = address
        self._client = client
        self.peers = []

    async def connect(self, data=b""):
        """A TCP connection on which `data` is sent, but no handshake is made."""
        return await self._open(data)

    async def shake_hands(self):
        return await self._open(b"", ssl=self._client)

    async def _open(self, data, **options):
        peer = Peer(*await asyncio.open_connection(*self._address, **options))
        self.peers.append(peer)
        await peer.send(data)
        return peer

    async def until(self, connections):
        while self.lane.connections != connections:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


def tls_test(**limits):
    """Run a test before a lane that speaks TLS, on each kind of loop."""

    def decorate(test):
        async def scenario(folder):
            server, client = contexts(folder)
            upstream = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
            host, port = upstream.sockets[0].getsockname()
            lane = make_lane(f"http://{host}:{port}", limits=LimitsConfig(**limits))
            address = await lane.listen("127.0.0.1", 0, ssl=server)
            world = World(lane, address, client)
            async with asyncio.timeout(30):
                try:
                    await test(world)
                finally:
                    for peer in world.peers:
                        peer.writer.transport.abort()
                        await peer.close()
                    await lane.drain(1)
                    upstream.close()
            assert lane.connections == 0

        def run(loop, tmp_path):
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(scenario(tmp_path))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return pytest.mark.parametrize("loop", LOOPS)(run)

    return decorate


@tls_test()
async def test_requests_pass(world):
    caller = await world.shake_hands()
    for _ in range(2):
        await caller.send(GET)
        assert await caller.read(len(OK)) == OK
    assert world.lane.connections == 1


@tls_test(head_timeout=0.3)
async def test_who_does_not_shake_hands_in_time_is_closed(world):
    silent, half = await world.connect(), await world.connect(HALF)
    await world.until(2)
    await silent.lost()
    await half.lost()
    await world.until(0)
    caller = await world.shake_hands()
    await caller.send(GET)
    assert await caller.read(len(OK)) == OK


@tls_test(connections=3)
async def test_who_has_not_shaken_hands_counts(world):
    await world.connect()
    await world.connect(HALF)
    caller = await world.shake_hands()
    await world.until(3)
    assert await (await world.connect()).rest() == b""
    await caller.send(GET)
    assert await caller.read(len(OK)) == OK
    await world.until(3)


@tls_test(connections=2)
async def test_who_hangs_up_amid_a_handshake_counts_no_more(world):
    for data in (b"", HALF, b"GET / HTTP/1.1\r\n\r\n"):
        for leave in (Peer.reset, Peer.end):
            peer = await world.connect(data)
            leave(peer)
            await world.until(0)
    caller = await world.shake_hands()
    await caller.send(GET)
    assert await caller.read(len(OK)) == OK


@tls_test()
async def test_many_at_once_are_served(world):
    async with asyncio.TaskGroup() as tasks:
        shaking = [tasks.create_task(world.shake_hands()) for _ in range(20)]
    for task in shaking:
        await task.result().send(GET)
        assert await task.result().read(len(OK)) == OK


@tls_test()
async def test_draining_closes_those_that_have_not_finished(world):
    silent, half = await world.connect(), await world.connect(HALF)
    await world.until(2)
    await world.lane.drain(1)
    await silent.lost()
    await half.lost()
