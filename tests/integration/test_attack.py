"""Attacks on the protocol: valid and mutated byte streams, cut anywhere, against a real proxy.

What reaches the upstream is what a strict reader of the same bytes would have forwarded. Where the
proxy is stricter still, or the strict reader refuses, the caller is told, the connection is closed,
and nothing of that request or behind it arrives.

`ATTACKS=100000 pytest tests/integration/test_attack.py` goes on for longer.
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

from tests.integration.strict import HOP_BY_HOP, Message, Refused, read_request
from tests.support.processes import Serve

ATTACKS: Final = int(os.environ.get("ATTACKS", "1500"))
PATIENCE: Final = 10  # seconds for one stream
SENTINEL: Final = b"GET /sentinel HTTP/1.1\r\nHost: es\r\nConnection: close\r\n\r\n"


# The upstream.


class Recorder(asyncio.Protocol):
    """An upstream that keeps each whole request, and what it cannot read strictly."""

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
    """Elasticsearch without security and without the inference plugin, and a mark."""
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
    passed_on: bool  # whether the upstream gave it
    closes: bool  # whether it says to be the last


def read_answers(data: bytes, methods: list[bytes]) -> list[Answer]:
    """Answers to requests with these methods, and to one more, of an unknown one."""
    data = re.sub(rb"HTTP/1\.1 100 Continue\r\n\r\n", b"", data)
    found = []
    for method in [*methods, b""]:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length and method != b"HEAD" else 0
        if len(rest) < size and method:
            break  # a refusal has no body where a HEAD is refused
        closes = re.search(rb"(?i)\r\nconnection: *close", head) is not None
        found.append(Answer(int(head[9:12]), b"X-Upstream" in head, closes))
        data = rest[size:]
    return found


class Arena:
    """A proxy between a recorder and a caller."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact  # whether the proxy is the lane: aiohttp may close without a word
        self.runner = asyncio.Runner()
        self.arrived: list[Message] = []
        self.strange: list[bytes] = []
        self.reset = False  # whether the last exchange ended so
        self.transports: set[asyncio.Transport] = set()
        self.address = ("", 0)
        self.url = self.runner.run(self._listen())

    async def _listen(self) -> str:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Recorder(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def send(self, pieces: list[bytes], done: Callable[[bytes], bool]) -> bytes:
        """All that comes back; our side is closed when `done`."""
        self.arrived.clear()
        self.strange.clear()
        self.reset = False
        return self.runner.run(self._send(pieces, done))

    async def _send(self, pieces: list[bytes], done: Callable[[bytes], bool]) -> bytes:
        async with asyncio.timeout(PATIENCE):
            received = await self._exchange(pieces, done)
            # What was forwarded before is read by the recorder before this is answered.
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
                # aiohttp reads on for a while after some refusals.
                async with asyncio.timeout(PATIENCE if self.exact else 0.3):
                    data = await reader.read(65536)
                if not data:
                    return received
                received += data
            writer.write_eof()
            return received + await reader.read()
        except OSError:  # TimeoutError is one
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


def ours(target: bytes) -> bool:
    """Whether Elasticsearch would route it to `_inference`."""
    path = target.partition(b"?")[0].rstrip(b"/")
    return path == b"/_inference" or path.startswith(b"/_inference/")


def strictly(data: bytes) -> tuple[list[Message], bool]:
    """What a strict reader takes, and whether it refuses what follows."""
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
    """Send `data`, cut at some places, and compare; the answers."""
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
    # Bytes behind a request that asked to close may cost it its answer.
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
        if message.method != b"HEAD":  # without a body nobody can tell why it was refused
            assert answer.passed_on != ours(message.target)
    assert arrived == [plain(one) for one in messages[:taken] if not ours(one.target)]
    return answers


def internal(message: Message) -> bool:
    """Whether the proxy asked for itself, or handed on a request for `_inference`."""
    return ours(message.target) or message.target.startswith(b"/_security/")


def plain(message: Message) -> tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]:
    """What is compared: aiohttp moves Host, spells equal names alike, drops an empty query."""
    headers = sorted((name.lower(), value) for name, value in message.headers)
    return message.method, message.target.removesuffix(b"?"), headers, message.body


# What is sent.

METHODS: Final = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"]
TARGETS: Final = [
    *(b"/", b"/x", b"/a%2Fb?c=%zz&d", b"//x", b"/x/../y", b"/x;y?z=[]", b"/_inference", b"/?"),
    *(
        b"/_inference/a/b?c",
        b"/_inferences",
        b"/%5finference/a",
        b"//_inference",
        b"/x?/_inference",
    ),
    *(
        b"/./_inference/a",
        b"/_INFERENCE",
        b"/_inference%2fa",
        b"/x/../_inference/a",
        b"/_inference;a",
    ),
]
HEADERS: Final = [
    *(b"X-A: 1", b"x-a: 2", b"X-B:", b"X-C:\t a b \t", b"Accept: */*", b"Authorization: Basic a"),
    *(b"X-Opaque-Id: a", b"Connection: keep-alive", b"Connection: X-A, x-b", b"Upgrade: h2c"),
    *(b"es-security-runas-user: b", b"TE: trailers", b"Keep-Alive: timeout=5", b"Trailer: X"),
    *(b"Proxy-Connection: keep-alive", b"HTTP2-Settings: AA", b"Content-Type: application/json"),
    *(
        "X-Text: é".encode(),
        b'X-Odd: ",;=\\',
        b"Proxy-Authorization: Basic a",
        b"X-L: " + b"v" * 5000,
    ),
]
CLOSING: Final = [b"Connection: close", b"connection: X, Close"]
BODY: Final = st.one_of(
    st.just(b""),
    st.sampled_from(
        [b"{}", b"GET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n"]
    ),
    st.binary(max_size=40),
)


def chunked(
    body: bytes, sizes: list[int], *, extension: bytes = b"", trailer: bytes = b""
) -> bytes:
    parts: list[bytes] = []
    while body:
        size = sizes[len(parts) % len(sizes)]
        piece, body = body[:size], body[size:]
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
    return b"".join(parts) + b"0%b\r\n%b\r\n" % (extension, trailer)


@st.composite
def valid_requests(draw: st.DrawFn, closing: bool = False) -> bytes:
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=5, unique_by=lambda h: h.lower()))
    headers.insert(draw(st.integers(0, len(headers))), b"Host: es")
    if closing:
        headers.append(draw(st.sampled_from(CLOSING)))
    body = draw(BODY)
    framing = draw(st.sampled_from(["length", "chunks", "zeros"])) if body else "none"
    if framing == "chunks":
        headers.append(
            draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED"]))
        )
        sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3))
        extension = draw(st.sampled_from([b"", b";a", b';a=b;c="d e"']))
        trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
        body = chunked(body, sizes, extension=extension, trailer=trailer)
    elif framing != "none":
        zeros = b"00" if framing == "zeros" else b""
        headers.append(b"Content-Length: %b%d" % (zeros, len(body)))
    # The application answers some requests before their body has come, and then closes.
    targets = [target for target in TARGETS if not body or not ours(target)]
    line = draw(st.sampled_from(METHODS)) + b" " + draw(st.sampled_from(targets)) + b" HTTP/1.1"
    return b"\r\n".join([line, *headers, b"", body])


VALID: Final = st.lists(valid_requests(), min_size=1, max_size=4).map(b"".join)
# Lines that frame a message, or seem to.
FRAMING: Final = [
    *(b"Content-Length: 0", b"Content-Length: 5", b"content-length: 44", b"Content-Length: +5"),
    *(
        b"Content-Length: -1",
        b"Content-Length: 0x5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5 5",
    ),
    *(
        b"Content-Length:",
        b"Content-Length: 5\r\n 5",
        b"Content-Length : 5",
        b"Content-Length: 1e1",
    ),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: 5\x00", b"Content\xadLength: 5"),
    *(
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:\tchunked ",
        b"Transfer-Encoding: Chunked",
    ),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity", b"TE: chunked"),
    *(
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:\x0bchunked",
    ),
    *(
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r",
        b"Transfer-Encoding:\r\n chunked",
    ),
    *(
        b"X: y\nTransfer-Encoding: chunked",
        b" Transfer-Encoding: chunked",
        b"Transfer_Encoding: chunked",
    ),
    *(b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding:"),
    *(
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: \xc4\x8dhunked",
    ),
]
BODIES: Final = [
    *(
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"hello",
        b"5;\nX\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n",
    ),
    *(
        b"5\nhello\n0\n\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\n",
        b"\r\n0\r\n\r\n",
    ),
    *(
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"ffffffffffffffff\r\nhello",
        b"0" * 20 + b"\r\n\r\n",
    ),
    *(
        b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nHost: x\r\n\r\n",
    ),
    *(
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX: y\n\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"5;a\r\r\nhello\r\n",
    ),
    *(
        b"0\r\nAuthorization: Basic b\r\n\r\n",
        b"00\r\n\r\n",
        b"5;a;b\r\nhello\r\n0;c\r\nX: y\r\n\r\n",
        b"5\r\nhel",
    ),
]
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n"


@st.composite
def smuggling(draw: st.DrawFn) -> bytes:
    """A request whose end can be seen at several places, and another one at one of them."""
    lines = draw(
        st.permutations([b"Host: es", *draw(st.lists(st.sampled_from(FRAMING), max_size=3))])
    )
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    head = b"\r\n".join([b"POST /x HTTP/" + version, *lines, b"", b""])
    before = draw(
        st.sampled_from([b"", b"POST /y HTTP/1.1\r\nHost: es\r\nContent-Length: 5\r\n\r\nhello"])
    )
    return before + head + draw(st.sampled_from(BODIES)) + SMUGGLED


PIECES: Final = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"\x0b",
        b"\xff",
        b":",
        b",",
        b";",
        b"#",
        b"/",
        b"\r\n ",
    ),
    *(
        b"http://es",
        b"/_inference",
        b"%5f",
        b"..",
        b"//",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"HTTP/2.0",
        b"*",
    ),
    *(
        b"Host: b\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: x\r\n",
        b"0",
    ),
    *(
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Basic b\r\n",
        b"X" * 70000,
    ),
    *(
        b"CONNECT ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01",
        b"get ",
        b"\r\n\r\n",
        SMUGGLED,
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = draw(VALID)
    for _ in range(draw(st.integers(1, 3))):
        places = [0, *(found.end() for found in re.finditer(rb"\r\n|[ :]", data)), len(data)]
        start = draw(st.one_of(st.sampled_from(places), st.integers(0, len(data))))
        cut = draw(st.sampled_from([0, 0, 1, 2, 5]))
        data = data[:start] + draw(st.sampled_from([b"", *PIECES])) + data[start + cut :]
    return data


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
    if arena.exact:  # aiohttp's connections end with a chunked request
        assert len(answers) == len(strictly(data)[0])


@settings(QUIET, max_examples=ATTACKS * 2 // 5)
@given(data=smuggling(), cuts=CUTS)
@example(data=b"\n" + SMUGGLED, cuts=[])
def test_nothing_is_smuggled(arena, data, cuts):
    attack(arena, data, cuts)


# Not without the lane: aiohttp puts up with more spaces, which do no harm in a head written anew.
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
        # Elasticsearch's routes take an empty segment for a value like any other.
        *(b"/_inference//a", b"/_inference/a//b"),
    ],
)
def test_what_elasticsearch_would_route_to_inference_is_answered_here(arena, target):
    received = arena.send([b"GET %b HTTP/1.1\r\nHost: es\r\n\r\n" % target], bool)
    (answer,) = read_answers(received, [b"GET"])
    assert not answer.passed_on
