"""Attacks on the protocol: byte streams, split anywhere, are sent to a real proxy.

The upstream must get what a strict parser reads from the same bytes. Where that parser refuses, or
the proxy is even stricter, the caller gets an error, the connection is closed, and neither the
request nor anything behind it is forwarded.

`ATTACKS=100000 pytest tests/integration/test_attack.py` runs longer.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.attacks import SMUGGLED, VALID, mutated, ours, smuggling, valid_requests
from tests.integration.strict import HOP_BY_HOP, Message, Refused, read_request
from tests.support.processes import Serve

ATTACKS: Final = int(os.environ.get("ATTACKS", "1500"))
PATIENCE: Final = 10  # seconds for one stream
SENTINEL: Final = b"GET /sentinel HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n"


# The upstream.


class Recorder(asyncio.Protocol):
    """An upstream that records complete requests, and input that is not strictly valid."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._arena.transports.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._arena.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            while read := read_request(self._data):
                message, self._data = read
                self._arena.arrived.append(message)
                self._transport.write(answer_to(message))
        except Refused:
            self._arena.strange.append(self._data)
            self._transport.abort()


def answer_to(message: Message) -> bytes:
    """Answer like Elasticsearch without security and inference plugin, with a mark."""
    status, body = b"200 OK", b"{}"
    if message.target.startswith((b"/_security", b"/_inference")):
        status = b"400 Bad Request"
        path = message.target.partition(b"?")[0]
        body = b'{"error":"no handler found for uri [%b] and method [%b]"}' % (path, message.method)
    head = b"HTTP/1.1 %b\r\nX-elastic-product: Elasticsearch\r\nX-Upstream: 1\r\n" % status
    head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head if message.method == b"HEAD" else head + body


# The caller.


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    passed_on: bool  # whether it is the upstream's
    closes: bool  # whether it announces the end of the connection


def read_answers(data: bytes, methods: list[bytes]) -> list[Answer]:
    """The answers to requests with these methods, and to one more of unknown method."""
    data = re.sub(rb"HTTP/1\.1 100 Continue\r\n\r\n", b"", data)
    found = []
    for method in [*methods, b""]:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length and method != b"HEAD" else 0
        if len(rest) < size and method:
            break  # a refused HEAD gets no body
        closes = re.search(rb"(?i)\r\nconnection: *close", head) is not None
        found.append(Answer(int(head[9:12]), b"X-Upstream" in head, closes))
        data = rest[size:]
    return found


class Arena:
    """A caller, a proxy, and the recorder as its upstream."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact  # whether it is the lane; aiohttp may close without an answer
        self.runner = asyncio.Runner()
        self.arrived: list[Message] = []
        self.strange: list[bytes] = []
        self.reset = False  # whether the last connection was reset
        self.transports: set[asyncio.Transport] = set()
        self.address = ("", 0)
        self.url = self.runner.run(self._listen())

    async def _listen(self) -> str:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Recorder(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def send(self, pieces: list[bytes], done: Callable[[bytes], bool]) -> bytes:
        """Send the pieces; all that is answered. Our side is closed once `done`."""
        self.arrived.clear()
        self.strange.clear()
        self.reset = False
        return self.runner.run(self._send(pieces, done))

    async def _send(self, pieces: list[bytes], done: Callable[[bytes], bool]) -> bytes:
        async with asyncio.timeout(PATIENCE):
            received = await self._exchange(pieces, done)
            # Once this is answered, the recorder has read what was forwarded before.
            reset = self.reset
            await self._exchange([SENTINEL], lambda _: False)
            self.reset = reset
            await asyncio.sleep(0)
        self.arrived[:] = [one for one in self.arrived if one.target != b"/sentinel"]
        return received

    async def _exchange(self, pieces: list[bytes], done: Callable[[bytes], bool]) -> bytes:
        reader, writer = await asyncio.open_connection(*self.address)
        received = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.0005 if len(pieces) > 1 else 0)
            while not done(received):
                # aiohttp continues to read for a while after some refusals.
                async with asyncio.timeout(PATIENCE if self.exact else 0.3):
                    data = await reader.read(65536)
                if not data:
                    return received
                received += data
            writer.write_eof()
            return received + await reader.read()
        except OSError:  # including TimeoutError
            self.reset = True
            return received
        finally:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)

    def close(self) -> None:
        self.runner.run(self._end())
        self.runner.close()


@pytest.fixture(scope="module", params=["lane", "no-lane"])
def arena(
    request: pytest.FixtureRequest, serve_for_session: Serve, tmp_path_factory
) -> Iterator[Arena]:
    arena = Arena(exact=request.param == "lane")
    store = f"sqlite:{tmp_path_factory.mktemp('store') / 'endpoints.db'}"
    flags = ["--no-lane"] if request.param == "no-lane" else []
    proxy = serve_for_session("--store", store, *flags, upstream=arena.url)
    arena.address = (proxy.host, proxy.port)
    yield arena
    arena.close()


# What must hold.


def strictly(data: bytes) -> tuple[list[Message], bool]:
    """The requests that the strict parser accepts, and whether it refuses the next one."""
    messages: list[Message] = []
    try:
        while read := read_request(data):
            message, data = read
            messages.append(message)
            if message.last:
                return messages, False
    except Refused:
        return messages, True
    return messages, False


def attack(arena: Arena, data: bytes, cuts: list[int]) -> list[Answer]:
    """Send `data`, split at the cuts, and check what arrived; the answers."""
    messages, refused = strictly(data)
    methods = [message.method for message in messages]
    ends = refused or (bool(messages) and messages[-1].last)

    def done(received: bytes) -> bool:
        answers = read_answers(received, methods)
        return any(one.closes for one in answers) or (not ends and len(answers) >= len(messages))

    places = sorted({cut % len(data) for cut in cuts} | {0}) if data else []
    pieces = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    answers = read_answers(arena.send(pieces, done), methods)
    assert arena.strange == []
    assert [one for one in arena.arrived if HOP_BY_HOP & {n.lower() for n, _ in one.headers}] == []

    arrived = [plain(one) for one in arena.arrived if not internal(one)]
    # Bytes behind a request that asks to close may reset the connection.
    assert not arena.exact or not arena.reset or messages[-1].last
    if not arena.exact or arena.reset:
        assert arrived == [plain(one) for one in messages if not ours(one.target)][: len(arrived)]
        return answers
    taken = len(answers)
    own = 0 < taken <= len(messages) and ours(messages[taken - 1].target)
    if answers and not answers[-1].passed_on and not own:
        taken -= 1
        assert answers[-1].status in (400, 405, 408, 411, 413, 414, 417, 431, 501, 505), answers
    if taken < len(messages) or refused:
        assert answers, "no word of a refusal"
        assert not answers[-1].passed_on
        assert answers[-1].status >= 400
    for message, answer in zip(messages, answers[:taken], strict=False):
        if message.method != b"HEAD":  # its refusal has no body to tell the two apart
            assert answer.passed_on != ours(message.target)
    assert arrived == [plain(one) for one in messages[:taken] if not ours(one.target)]
    return answers


def internal(message: Message) -> bool:
    """Whether it is the proxy's own, or was forwarded after the upstream proved to own it."""
    hosts = [value for name, value in message.headers if name.lower() == b"host"]
    if hosts and hosts[0].startswith((b"localhost", b"127.0.0.1:")):
        return True  # asked at the start: whether it speaks HTTP, and which version it is
    return ours(message.target) or message.target.startswith(b"/_security/")


def plain(message: Message) -> tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]:
    """What is compared; aiohttp moves Host, unifies the case of names, drops empty queries."""
    headers = sorted((name.lower(), value) for name, value in message.headers)
    return message.method, message.target.removesuffix(b"?"), headers, message.body


# What is sent.

CUTS: Final = st.lists(st.integers(0, 10_000), max_size=4)
QUIET: Final = settings(
    max_examples=ATTACKS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@settings(QUIET, max_examples=ATTACKS // 5)
@given(streams=st.tuples(VALID, valid_requests(closing=True)), cuts=CUTS)
def test_what_is_valid_arrives(arena, streams, cuts):
    data = b"".join(streams)
    answers = attack(arena, data, cuts)
    if arena.exact:  # aiohttp closes after a chunked request
        assert len(answers) == len(strictly(data)[0])


@settings(QUIET, max_examples=ATTACKS * 2 // 5)
@given(data=smuggling(), cuts=CUTS)
@example(data=b"\n" + SMUGGLED, cuts=[])
def test_nothing_is_smuggled(arena, data, cuts):
    attack(arena, data, cuts)


# Only the lane: aiohttp accepts more spaces, which are harmless as it writes heads anew.
@pytest.mark.parametrize("arena", ["lane"], indirect=True)
@settings(QUIET, max_examples=ATTACKS * 2 // 5)
@given(data=mutated(), cuts=CUTS)
def test_what_is_mutated_is_refused_or_read_strictly(arena, data, cuts):
    attack(arena, data, cuts)


@pytest.mark.parametrize(
    "target",
    [
        *(
            b"/_inference",
            b"/_inference/",
            b"/_inference//",
            b"/_inference?a=/x//y",
            b"/_inference/a",
        ),
        *(b"/_inference/%5f", b"/_inference/a/b/c/d", b"/_inference/;a", b"/_inference/.."),
        # In Elasticsearch's routes an empty segment is a value like any other.
        *(b"/_inference//a", b"/_inference/a//b"),
    ],
)
def test_what_elasticsearch_would_route_to_inference_is_answered_here(arena, target):
    received = arena.send([b"GET %b HTTP/1.1\r\nHost: es\r\n\r\n" % target], bool)
    (answer,) = read_answers(received, [b"GET"])
    assert not answer.passed_on
