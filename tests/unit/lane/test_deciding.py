"""Requests whose body says who answers them: before they are sent, or once they are refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from proxy.ground.interception import Interception
from tests.support.lanes import make_lane
from tests.support.peers import OK, Peer

PLAIN = b'{"query":{"match_all":{}}}'
OURS = b'{"query":{"semantic":{}}}'
REFUSED_OURS = b'{"retriever":{"rrf":{}}}'
WRONG = b'{"query":{"unknown":{}}}'
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nok"
# Other answers of the upstream, in pieces, to requests with these words in their body; an empty one
# is the end of the connection.
ANSWERS = {
    b"cut": (REFUSED[:9], REFUSED[9:40], REFUSED[40:]),
    b"early": (b"HTTP/1.1 103 Early Hints\r\n\r\n", REFUSED),
    b"broken": (REFUSED[:20], b""),
}


class ByBody:
    """Takes what has one of two words in its body."""

    def generation(self):
        return self

    def takes(self, method, target):
        return False

    def looks_into(self, method, target):
        return target.startswith((b"/_search", b"/_msearch"))

    def unrefused(self, target):
        return b'"semantic"' if target.startswith(b"/_search") else None

    def hides_body(self, head):
        return b"gzip" in head

    def takes_body(self, request, start):
        return b"semantic" in request[start:] or b"rrf" in request[start:]


def by_body() -> Interception:
    made = Interception()
    made.use(ByBody())
    return made


class _Caller:
    """Sends requests through a lane, and says who answered, and which body it got."""

    def __init__(self, address, seen) -> None:
        self._address = address
        self.seen = seen
        self.reached: list[tuple[str, bytes]] = []  # by the last request

    async def __call__(self, *pieces):
        """Send one request, in pieces."""
        reader, writer = await self.send(*pieces)
        found = await self._answered(reader)
        writer.close()
        return found

    async def send(self, *pieces):
        """As above, but give out the connection on which the answer comes."""
        reader, writer = await asyncio.open_connection(*self._address)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)  # or the lane would read them as one
        return reader, writer

    async def each(self, *requests):
        """Send requests over one connection, one after the other."""
        reader, writer = await asyncio.open_connection(*self._address)
        found = []
        for request in requests:
            writer.write(request)
            found.append(await self._answered(reader))
        writer.close()
        return found

    async def _answered(self, reader):
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\nok")
        self.reached = [self.seen.get_nowait() for _ in range(self.seen.qsize())]
        return self.reached[-1]


@pytest.fixture
async def reached():
    """What sends requests through a lane between an upstream and an application."""
    seen: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def upstream(reader, writer):
        peer = Peer(reader, writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await peer.head():
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                await seen.put(("upstream", body))
                usual = (REFUSED if b"rrf" in body or b"unknown" in body else OK,)
                first, *more = next((ANSWERS[word] for word in ANSWERS if word in body), usual)
                await peer.send(first)
                for piece in more:
                    await asyncio.sleep(0.01)  # or the lane would read them as one
                    if not piece:
                        raise ConnectionResetError
                    await peer.send(piece)
        writer.close()

    async def handler(request):
        body = await request.read()
        await seen.put(("application", body))
        return web.Response(body=b"ok", status=400 if b"refused" in body else 200)

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True))
    await runner.setup()
    lane = make_lane(f"http://127.0.0.1:{port}", application=runner.server, interception=by_body())
    address = await lane.listen("127.0.0.1", 0)

    yield _Caller(address, seen)
    await lane.drain(1)
    server.close()
    await runner.cleanup()


def head(body, *more, target=b"/_msearch"):
    lines = [b"POST %b HTTP/1.1" % target, b"Host: x", *more]
    if not any(b"chunked" in line for line in more):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def test_a_body_that_comes_with_its_head_decides(reached):
    assert await reached(head(PLAIN) + PLAIN) == ("upstream", PLAIN)
    assert await reached(head(OURS) + OURS) == ("application", OURS)


async def test_a_body_that_comes_later_decides(reached):
    assert await reached(head(PLAIN), PLAIN[:5], PLAIN[5:]) == ("upstream", PLAIN)
    assert await reached(head(OURS) + OURS[:15], OURS[15:]) == ("application", OURS)


async def test_headers_are_shown_with_the_body(reached):
    assert (await reached(head(PLAIN, b"X: gzip") + PLAIN))[0] == "application"


async def test_each_head_of_a_connection_counts(reached):
    plain, hidden = head(PLAIN) + PLAIN, head(PLAIN, b"X: gzip") + PLAIN
    found = await reached.each(plain, hidden, hidden, plain, head(OURS) + OURS, plain)
    expected = ["upstream", "application", "application", "upstream", "application", "upstream"]
    assert [place for place, _ in found] == expected


async def test_only_requests_that_are_looked_into_wait(reached):
    assert await reached(head(OURS, target=b"/x") + OURS) == ("upstream", OURS)


async def test_what_cannot_be_read_goes_to_the_application(reached):
    long = PLAIN + b" " * 70_000
    assert await reached(head(long), long) == ("application", long)
    chunked = head(b"", b"Transfer-Encoding: chunked") + b"1a\r\n" + PLAIN + b"\r\n0\r\n\r\n"
    assert await reached(chunked) == ("application", PLAIN)


async def test_what_has_a_header_for_the_proxy_alone_goes_to_the_application(reached):
    own = b"X-Embedding-Cache: no-cache"
    for target in (b"/_search", b"/_msearch", b"/x"):
        asked = head(PLAIN, own, target=target) + PLAIN
        assert await reached(asked) == ("application", PLAIN)


async def test_a_header_for_the_proxy_alone_is_seen_on_a_target_that_others_had(reached):
    own = b"X-Embedding-Cache: no-cache"
    for target in (b"/", b"/x"):
        asked = [head(b"", *more, target=target) for more in ((), (own,), (), (own,))]
        wanted = [("upstream", b""), ("application", b"")] * 2
        assert await reached.each(*asked) == wanted, target


# What the upstream refuses where it is for the application


def search(body, *more):
    return head(body, *more, target=b"/_search") + body


TAKEN_BACK = [("upstream", REFUSED_OURS), ("application", REFUSED_OURS)]


@pytest.mark.parametrize("body", [PLAIN, WRONG])
async def test_the_upstream_answers_what_is_for_nobody_else(reached, body):
    assert await reached(search(body)) == ("upstream", body)
    assert await reached.each(*[search(body)] * 3) == [("upstream", body)] * 3


async def test_what_the_upstream_refuses_is_taken_back_if_it_is_ours(reached):
    await reached.each(search(PLAIN), search(WRONG), search(WRONG), search(REFUSED_OURS))
    assert reached.reached == TAKEN_BACK
    await reached(search(REFUSED_OURS))
    assert reached.reached == TAKEN_BACK


async def test_a_body_that_comes_late_is_taken_back_whole(reached):
    sent = search(REFUSED_OURS)
    assert await reached(sent[:-12], sent[-12:]) == ("application", REFUSED_OURS)
    assert reached.reached == TAKEN_BACK


@pytest.mark.parametrize("how", [b"cut", b"early"])
async def test_a_refusal_may_come_in_pieces_and_behind_interim_answers(reached, how):
    ours = REFUSED_OURS + how
    assert await reached(search(ours)) == ("application", ours)
    assert reached.reached == [("upstream", ours), ("application", ours)]


async def test_what_is_answered_by_half_is_not_sent_again(reached):
    reader, writer = await reached.send(search(REFUSED_OURS + b"broken"))
    async with asyncio.timeout(10):
        assert await reader.readline() == b"HTTP/1.1 502 Bad Gateway\r\n"
    writer.close()
    assert reached.seen.qsize() == 1


async def test_what_the_upstream_might_answer_is_looked_into_first(reached):
    found = await reached.each(*map(search, (OURS, PLAIN, OURS, OURS, PLAIN)))
    assert [place for place, _ in found] == [
        "application", "upstream", "application", "application", "upstream",
    ]  # fmt: skip
    assert await reached(search(OURS)) == ("application", OURS)
    assert reached.reached == [("application", OURS)]


async def test_a_connection_that_had_one_taken_back_is_looked_into_first(reached):
    bodies = (PLAIN, REFUSED_OURS, REFUSED_OURS, PLAIN, WRONG, REFUSED_OURS)
    found = await reached.each(*map(search, bodies))
    places = ["upstream", "application", "application", "upstream", "upstream", "application"]
    assert [place for place, _ in found] == places
    assert reached.reached == [("application", REFUSED_OURS)]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(search(REFUSED_OURS + b" " * 70_000), id="long"),
        pytest.param(search(REFUSED_OURS, b"Expect: 100-continue"), id="expects"),
        pytest.param(search(REFUSED_OURS, b"X: gzip"), id="gzip"),
        pytest.param(
            head(b"", b"Transfer-Encoding: chunked", target=b"/_search")
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(REFUSED_OURS), REFUSED_OURS),
            id="chunked",
        ),
    ],
)
async def test_what_is_not_kept_or_cannot_be_read_is_not_sent_first(reached, sent):
    found = await reached.each(sent, sent, search(PLAIN), sent)
    assert [place for place, _ in found] == [
        "application",
        "application",
        "upstream",
        "application",
    ]
    assert [place for place, _ in reached.reached] == ["application"]


async def test_an_answer_of_the_application_is_never_taken_back(reached):
    assert (await reached(search(REFUSED_OURS + b'"refused"')))[0] == "application"
    assert [place for place, _ in reached.reached] == ["upstream", "application"]
    assert (await reached(search(OURS + b'"refused"')))[0] == "application"
    assert [place for place, _ in reached.reached] == ["application"]
