"""A network between two real programs that cuts, delays and throttles what goes through it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tests.support.peers import Peer

_PIECE: Final = 16 * 1024
_EARLY: Final = 6_000  # bytes, among which a connection breaks
_FAULTY: Final = 0.7  # of the connections
_LATE: Final = 100_000  # and one that has no other fault
Pass = Callable[[asyncio.StreamReader, Peer], Awaitable[None]]


class FaultyNetwork:
    """Relays connections to a port, each with a fault, or none, drawn from a seeded row.

    `listen` is the port that it listens on.
    """

    def __init__(self, port: int, listen: int, seed: int) -> None:
        self.url = f"http://127.0.0.1:{listen}"
        self.met: Counter[str] = Counter()  # faults
        self.is_sound = True
        self._port = port
        self._listen = listen
        self._relays: set[asyncio.Future[None]] = set()
        self._peers: list[Peer] = []  # ends of all connections so far
        self._random = random.Random(seed)
        self._faults: dict[str, Pass] = {
            "refused": self._nothing,
            "cut": self._cut,
            "reset": self._reset,
            "request cut": self._whole,
            "slow": self._slow,
            "in small pieces": self._small,
            "stalled": self._stalled,
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyNetwork]:
        server = await asyncio.start_server(self._begin, "127.0.0.1", self._listen)
        try:
            async with server:
                yield self
        finally:
            await self._drop_all()

    async def become(self, *, sound: bool) -> None:
        """Have faults from now on, or none any more; connections that are there end."""
        self.is_sound = sound
        await self._drop_all()

    async def _drop_all(self) -> None:
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        for peer in self._peers:
            peer.writer.transport.abort()
        for peer in self._peers:
            await peer.close()
        self._peers.clear()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Peer(reader, writer)
        self._peers.append(caller)
        relay = asyncio.ensure_future(self._relay(caller))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, caller: Peer) -> None:
        is_faulty = not self.is_sound and self._random.random() < _FAULTY
        name = self._random.choice([*self._faults]) if is_faulty else "none"
        self.met[name] += 1
        if name == "refused":
            caller.reset()
            return
        server = Peer(*await asyncio.open_connection("127.0.0.1", self._port))
        self._peers.append(server)
        to_server = self._cut if name == "request cut" else self._whole
        to_caller = self._faults.get(name, self._late)
        ways = (to_server(caller.reader, server), to_caller(server.reader, caller))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:  # whichever way ends first takes the other along
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            caller.writer.close()
            server.writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, peer: Peer, count: int, size: int, pause: float
    ) -> None:
        """Pass on `count` bytes at most, in pieces of `size` at most, each after a pause."""
        while count and (data := await reader.read(size if count < 0 else min(size, count))):
            if pause:
                await asyncio.sleep(pause)
            await peer.send(data)
            count -= len(data)

    async def _nothing(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        pass

    async def _whole(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._pass(reader, peer, -1, _PIECE, 0)

    async def _late(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        count = -1 if self.is_sound else self._random.randrange(_LATE)
        await self._pass(reader, peer, count, _PIECE, 0)

    async def _cut(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._pass(reader, peer, self._random.randrange(_EARLY), _PIECE, 0)

    async def _reset(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._cut(reader, peer)
        peer.reset()

    async def _slow(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._pass(reader, peer, _LATE, 2_000, 0.02)

    async def _small(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._pass(reader, peer, _LATE, 61, 0)

    async def _stalled(self, reader: asyncio.StreamReader, peer: Peer) -> None:
        await self._cut(reader, peer)
        await asyncio.Event().wait()
