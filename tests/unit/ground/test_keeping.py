"""How long idle connections are kept: as long as the server is seen to keep one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import aiohttp.connector
import pytest
from aiohttp import ClientSession

from proxy.ground import keeping, sessions
from proxy.ground.keeping import LEAST, MOST, KeepingConnector
from proxy.ground.sessions import DroppedWhileIdle, Response
from tests.support.clock import Clock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Tells the connector the time; only tests have it look at its connections."""
    clock = Clock()
    for module in (keeping, sessions, aiohttp.connector):
        monkeypatch.setattr(module, "monotonic", clock)
    monkeypatch.setattr(sessions, "weakref_handle", lambda *_: None)
    return clock


class Server:
    """Answers requests, and counts its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.open: list[asyncio.StreamWriter] = []
        self.answers = True
        self.together = asyncio.Barrier(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if not self.answers:
                    break
                await self.together.wait()
                writer.write(OK)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        self.open.remove(writer)
        writer.close()


class Client:
    """Sends requests to a server, and has the connector look at what is idle."""

    def __init__(self, server: Server, session: ClientSession, url: str, clock: Clock) -> None:
        self.server = server
        self.connector = cast(KeepingConnector, session.connector)
        self._session = session
        self._url = url
        self._clock = clock

    async def ask(self) -> None:
        async with self._session.post(self._url) as answer:  # aiohttp repeats no POST
            assert await answer.read() == b"ok"

    async def ask_together(self, count: int) -> None:
        self.server.together = asyncio.Barrier(count)
        await asyncio.gather(*(self.ask() for _ in range(count)))
        self.server.together = asyncio.Barrier(1)

    async def pass_time(self, seconds: float, *, open_then: int) -> None:
        """Let it pass, and wait until the server has so many connections."""
        self._clock.now += seconds
        self.connector._sweep()
        await eventually(lambda: len(self.server.open) == open_then)

    async def lose_all(self) -> None:
        """The server closes its connections."""
        for writer in self.server.open:
            writer.close()
        kept: Any = [protocol for many in self.connector._conns.values() for protocol, _ in many]
        kept += [protocol for protocol, _ in self.connector._watched.values()]
        await eventually(lambda: not any(protocol.is_connected() for protocol in kept))


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - of connections nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture
async def client(clock) -> AsyncIterator[Client]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    connector = KeepingConnector()
    async with ClientSession(connector=connector, response_class=Response) as session:
        yield Client(server, session, url, clock)
    await eventually(lambda: not server.open)  # those that are watched end with the others
    listener.close()


async def test_at_first_they_are_kept_for_less_time_than_any_server_keeps_them(client):
    await client.ask_together(3)
    await client.pass_time(LEAST, open_then=3)
    await client.ask()
    assert client.server.connections == 3
    await client.pass_time(LEAST + 0.1, open_then=1)  # the one that is watched
    await client.ask()
    assert client.server.connections == 4
    assert LEAST <= 4  # uvicorn and Node.js: 5


async def test_a_server_that_keeps_them_longer_is_found_out(client):
    await client.ask()
    await client.pass_time(5, open_then=1)
    await client.pass_time(35, open_then=1)  # it has kept it for 40 s
    await client.ask_together(2)
    assert client.server.connections == 3
    await client.pass_time(31, open_then=3)
    await client.ask_together(2)
    assert client.server.connections == 3
    await client.pass_time(200, open_then=0)
    await client.ask_together(2)
    await client.pass_time(MOST, open_then=2)
    await client.ask_together(2)
    assert client.server.connections == 5
    await client.pass_time(MOST + 0.1, open_then=0)  # enough is known


async def test_a_server_that_drops_them_is_not_asked_for_more(client):
    await client.ask()
    await client.pass_time(4.5, open_then=1)
    await client.lose_all()
    await client.pass_time(30, open_then=0)
    await client.ask_together(2)
    await client.pass_time(4.5, open_then=1)
    assert client.server.connections == 3


async def test_what_was_learned_is_forgotten_once_it_does_not_hold(client):
    await client.ask()
    await client.pass_time(5, open_then=1)
    await client.pass_time(45, open_then=1)
    await client.ask()
    client.server.answers = False
    with pytest.raises(DroppedWhileIdle):
        await client.ask()
    client.server.answers = True
    await client.ask()
    await client.pass_time(5, open_then=1)
    await client.ask()
    assert client.server.connections == 4


async def test_few_are_watched_and_few_servers_known(client, monkeypatch):
    monkeypatch.setattr(keeping, "_MOST_WATCHED", 0)
    await client.ask()
    await client.pass_time(5, open_then=0)
    monkeypatch.setattr(keeping, "_MOST_KNOWN", 2)
    keys: list[Any] = ["a", "b", "c"]
    for key in keys:
        client.connector._learn(key, 10.0)
    assert [client.connector.longest(key) for key in keys] == [LEAST, 8.0, 8.0]
