"""What a server may send beside the answer to a request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from aiohttp import ClientError, ClientPayloadError, ClientSession, ClientTimeout, StreamReader

from proxy.ground import sessions
from proxy.ground.sessions import (
    HEAD_LIMITS,
    MAX_HEADS,
    MAX_INTERIM,
    READ_BUFFER,
    BoundedProtocol,
    Connector,
    Response,
    answer_head,
    pieces_of,
    read_in_turn,
)
from proxy.ground.steps import Step, Steps
from proxy.http1.bodies import pieces

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"x: " + b"y" * 60_000 + b"\r\n"
MAX_FRAMING = 128 * 1024  # bytes: less than the product's, as reading tiny chunks takes long


@pytest.fixture(autouse=True)
def _little_framing(monkeypatch):
    assert sessions.MAX_FRAMING > MAX_FRAMING
    monkeypatch.setattr(sessions, "MAX_FRAMING", MAX_FRAMING)


class Server:
    """Answers every request on a connection with `first`, then sends `again` for ever."""

    def __init__(self, first: bytes, again: bytes = b"") -> None:
        self.first = first
        self.again = again
        self.url = ""
        self.sent = 0  # bytes of `again`
        self.requests = 0
        self.left = asyncio.Event()  # once the client has closed a connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                writer.write(self.first)
                while self.again:
                    writer.write(self.again)
                    await writer.drain()
                    self.sent += len(self.again)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[ClientSession]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with (
        asyncio.timeout(60),
        ClientSession(connector=Connector(), response_class=Response, **HEAD_LIMITS) as session,
    ):
        yield session
    listener.close()


async def read_all(session: ClientSession, url: str, sizes: list[int] | None = None) -> None:
    async with session.get(url) as answer:
        async for piece in pieces_of(answer.content):
            if sizes is not None:
                sizes.append(len(piece))


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="100"),
        pytest.param(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100, id="102"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100, id="103"),
        pytest.param(b"", b"HTTP/1.1 103 E\r\n" + LONG * 10 + b"\r\n", id="long interim heads"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", LONG, id="long head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 100, id="many headers"),
        pytest.param(CHUNKED, b"1\r\nx\r\n" * 1000, id="chunks of one byte"),
        pytest.param(CHUNKED + b"1;", b"x" * 65536, id="extensions of a chunk"),
        pytest.param(CHUNKED + b"1\r\nx\r\n0\r\n", LONG, id="trailers"),
    ],
)
async def test_what_never_ends_is_an_error(first, again):
    server = Server(first, again)
    async with asking(server) as session:
        with pytest.raises(ClientError):
            await read_all(session, server.url)
        await server.left.wait()


async def test_idle_connections_are_looked_at_four_times_while_they_are_kept(monkeypatch):
    """aiohttp looks for those kept for too long once in that time: up to twice as late."""
    looks: list[tuple[str, float]] = []
    monkeypatch.setattr(
        sessions, "weakref_handle", lambda _, name, seconds, loop: looks.append((name, seconds))
    )
    server = Server(OK)
    async with asking(server) as session:
        connector = cast(Any, session.connector)
        for _ in range(2):
            await read_all(session, server.url)
        connector._sweep()
        await read_all(session, server.url)  # over the same one
        assert (server.requests, server.left.is_set()) == (3, False)
        assert looks == [("_sweep", 15.0 / 4)] * 2
        connector._conns = {
            key: deque((protocol, since - 15.1) for protocol, since in kept)
            for key, kept in connector._conns.items()
        }
        connector._sweep()
        await server.left.wait()
        assert len(looks) == 2


async def test_others_get_their_turn_while_it_comes():
    turns: list[int] = []
    server = Server(CHUNKED, b"1\r\nx\r\n" * 1000)
    async with asking(server) as session:
        with pytest.raises(ClientError):
            await read_all(session, server.url, turns)
    assert len(turns) > 10
    assert max(turns) < 40_000  # bytes, each a chunk


async def test_tiny_chunks_of_all_connections_are_read_in_turns():
    read: list[int] = []
    server = Server(CHUNKED, b"1\r\nx\r\n" * 1000)
    async with asking(server) as session:
        floods = [asyncio.ensure_future(read_all(session, server.url, read)) for _ in range(8)]
        while sum(read) < 100_000:
            before = len(read)
            await asyncio.sleep(0)
            assert sum(read[before:]) < 50_000  # bytes, each a chunk
        for flood in floods:
            flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)


async def test_some_interim_answers_and_long_heads_are_fine():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * MAX_INTERIM
    head = b"HTTP/1.1 200 OK\r\n" + b"w: deprecated\r\n" * 4000 + LONG * 2
    assert len(hints + head) < MAX_HEADS
    server = Server(hints + head + b"Content-Length: 2\r\n\r\nok")
    async with asking(server) as session:
        for _ in range(3):  # each request is counted by itself
            async with session.get(server.url) as answer:
                assert (answer.status, await answer.read()) == (200, b"ok")


@pytest.mark.parametrize("size", [4, 1000, 100_000])
async def test_chunks_of_any_sensible_size_are_fine(size):
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    count = MAX_FRAMING // size
    server = Server(CHUNKED + chunk * count + b"0\r\n\r\n")
    async with asking(server) as session, session.get(server.url) as answer:
        assert len(await answer.read()) == count * size


@pytest.mark.parametrize("end", [b"zz\r\n", b"\r\nzz\r\n"], ids=["at once", "behind a chunk"])
async def test_a_malformed_chunk_is_told_to_who_waits_for_it(end):
    more = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + (b"2\r\nok\r\n" if end.startswith(b"z") else b"2\r\nok"))
        await more.wait()
        writer.write(end)
        await reader.read()  # it is the client that hangs up
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            ClientSession(connector=Connector()) as session,
            session.get(f"http://127.0.0.1:{port}/") as answer,
        ):
            assert await answer.content.readany() == b"ok"
            more.set()
            with pytest.raises(ClientPayloadError, match="malformed"):
                async with asyncio.timeout(10):
                    await answer.content.readany()


@pytest.mark.parametrize("stray", [OK, b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_answers_to_no_request_are_nobodys(stray):
    server = Server(OK + stray)
    async with asking(server) as session:
        for _ in range(3):
            async with session.get(server.url) as answer:
                assert (answer.status, await answer.read()) == (200, b"ok")
    assert server.requests == 3


async def test_a_kept_connection_that_speaks_up_is_closed():
    server = Server(OK, OK * 100)
    async with asking(server) as session:
        async with session.get(server.url) as answer:
            assert await answer.read() == b"ok"
        await server.left.wait()


async def test_after_an_interim_answer_the_wait_is_still_limited():
    server = Server(b"HTTP/1.1 100 Continue\r\n\r\n")
    async with asking(server) as session:
        with pytest.raises(TimeoutError):
            await session.get(server.url, timeout=ClientTimeout(sock_read=0.05))


async def test_the_rest_of_a_request_that_was_given_up_is_not_sent():
    body, got = b"x" * 16 * 1024 * 1024, 0
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await given_up.wait()
        with suppress(ConnectionError):
            while piece := await reader.read(1024 * 1024):
                got += len(piece)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    given_up = asyncio.Event()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with ClientSession(connector=Connector()) as session:
        with pytest.raises(TimeoutError):
            await session.post(url, data=pieces(body, len(body)), timeout=ClientTimeout(total=0.1))
        given_up.set()
        async with asyncio.timeout(30):
            await ended.wait()
    listener.close()
    assert got < len(body)


class Transport(asyncio.Transport):
    """A transport that tells what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def pause_reading(self) -> None:
        self.changes.append("paused")

    def resume_reading(self) -> None:
        self.changes.append("resumed")

    def abort(self) -> None:
        self.changes.append("aborted")

    def get_write_buffer_size(self) -> int:
        return 0


class Waiting:
    """An answer whose body is read in turn, on a connection to which a test hands what comes."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.protocol = BoundedProtocol(asyncio.get_running_loop(), Steps())
        self.protocol.connection_made(self.transport)
        self.steps: list[Step] = []  # that wait for their turn

    async def begin(self, first: bytes) -> StreamReader:
        self.protocol.set_response_params(read_until_eof=True, **HEAD_LIMITS)
        self.protocol.data_received(first)
        _, content = await answer_head(self.protocol)
        self.protocol.read_in_turn(self._puts_off)
        return content

    def _puts_off(self, step: Step) -> bool:
        self.steps.append(step)
        return True


def chunks(*data: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in data]


async def test_what_waits_for_its_turn_is_read_together():
    waiting = Waiting()
    content = await waiting.begin(CHUNKED)
    for piece in chunks(b"one", b"two", b"three"):
        waiting.protocol.data_received(piece)
    assert content.total_bytes == 0
    (step,) = waiting.steps
    step()
    assert content.read_nowait() == b"onetwothree"
    waiting.protocol.data_received(b"0\r\n\r\n")
    waiting.steps[1]()
    assert content.at_eof()


async def test_not_more_than_a_buffer_waits_for_its_turn():
    waiting = Waiting()
    content = await waiting.begin(CHUNKED)
    for piece in chunks(b"x" * READ_BUFFER, b"y"):
        waiting.transport.changes.append("more")
        waiting.protocol.data_received(piece)
    waiting.steps[0]()
    assert waiting.transport.changes == ["more", "more", "paused", "resumed"]
    assert content.total_bytes == READ_BUFFER + 1


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_what_waits_as_the_connection_ends_is_read(error):
    waiting = Waiting()
    content = await waiting.begin(b"HTTP/1.1 200 OK\r\n\r\n")
    waiting.protocol.data_received(b"last words")
    waiting.protocol.connection_lost(error)
    assert content.total_bytes == 10
    assert content.is_eof()
    waiting.steps[0]()  # there is nothing left


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_what_waits_is_read_before_the_error_of_an_answer_that_breaks_off(error):
    waiting = Waiting()
    content = await waiting.begin(CHUNKED)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(content.readany())
        await asyncio.sleep(0)
        waiting.protocol.data_received(b"".join(chunks(b"last words")))
        waiting.protocol.connection_lost(error)
    assert reading.result() == b"last words"
    with pytest.raises(ClientPayloadError):
        await content.readany()


async def test_tiny_chunks_that_wait_as_the_connection_ends_are_read():
    waiting = Waiting()
    content = await waiting.begin(CHUNKED)
    waiting.protocol.data_received(b"".join(chunks(b"x")) * 1000 + b"0\r\n\r\n")
    waiting.protocol.connection_lost(None)
    assert (content.total_bytes, content.is_eof()) == (1000, True)


async def test_what_nobody_asked_for_does_not_wait():
    waiting = Waiting()
    content = await waiting.begin(OK)
    assert content.is_eof()
    waiting.protocol.data_received(OK)
    assert (waiting.steps, waiting.transport.changes) == ([], ["aborted"])


async def test_the_next_answer_on_a_connection_does_not_wait():
    waiting = Waiting()
    await waiting.begin(OK)
    content = await waiting.begin(OK)
    assert (content.read_nowait(), waiting.steps) == (b"ok", [])


async def test_the_answer_on_a_connection_that_was_given_back_is_not_read_in_turn():
    read_in_turn(None, lambda _: True)
