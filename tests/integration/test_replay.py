"""The proxy is invisible: the same requests get the same answers with and without it.

Each is sent directly to Elasticsearch, through the lane, and through the application alone, over a
kept connection each; status, reason, headers (as a multiset) and body bytes must be equal.
"""

from __future__ import annotations

import base64
import io
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from typing import Any, Final, cast

import orjson
import pytest
from yarl import URL

from testbed.elasticsearch import Elasticsearch
from tests.integration.replayed import (
    DROPPED,
    HEALTH,
    JSON,
    MESSAGES,
    PAGE,
    REQUESTS,
    SETUP,
    TEARDOWN,
    WRITES,
    Pairs,
    Request,
)
from tests.integration.semantic.meaningful import field, place
from tests.support.processes import Serve
from tests.support.rawhttp import send

MEANING: Final = "meaning-replay"  # of the index with a semantic field
# What no other test changes.
OWN: Final = re.compile(rf"/(replay|nope)(?=[/?]|$)|{re.escape(HEALTH)}$")
# Headers of one connection.
PER_HOP: Final = {"connection", "keep-alive", "transfer-encoding"}
# Depends on how the body arrived: what Elasticsearch quotes of it, and the positions in CBOR.
QUOTED: Final = re.compile(rb"\[Source: \(.*?; (?=line|byte)|x.\[-1:\d+\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer as a caller sees it, without hop-by-hop headers."""

    status: int
    reason: str
    headers: Pairs
    body: bytes


def seen(response: HTTPResponse) -> Seen:
    body = response.read()
    plain, quotes = QUOTED.subn(b"", body)
    headers = sorted(
        (name.lower(), value)
        for name, value in response.getheaders()
        if name.lower() not in PER_HOP and not (quotes and name.lower() == "content-length")
    )
    return Seen(status=response.status, reason=response.reason, headers=headers, body=plain)


class Way:
    """A way to Elasticsearch, with a connection that is kept open while possible."""

    def __init__(self, url: str, timeout: float = 20) -> None:
        self.url = URL(url)
        self._timeout = timeout
        self._connection: HTTPConnection | None = None

    def send(self, request: Request) -> Seen:
        method, target, headers, body = request
        if self._connection is None:
            self._connection = HTTPConnection(
                cast(str, self.url.host), self.url.port, timeout=self._timeout
            )
        connection = self._connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", "replay")
        for name, value in headers:
            connection.putheader(name, value.encode())
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        elif body is not None:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(body, encode_chunked=not isinstance(body, bytes | None))
        response = connection.getresponse()
        answer = seen(response)
        if response.will_close or response.status >= 400:
            self.close()  # Elasticsearch may ignore it from now on, see below
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="module", params=["no field", "a field"])
def ways(
    request, serve_for_session: Serve, elasticsearch: Elasticsearch
) -> Iterator[Mapping[str, Way]]:
    """Three ways to one Elasticsearch, by name; SETUP is done.

    An index of it has a semantic field, or none has, but for those of other tests.
    """
    with ExitStack() as stack:
        if request.param == "a field":
            found = stack.enter_context(place(serve_for_session, elasticsearch, MEANING))
            hidden = {"index": {"hidden": True}}  # as no request of these asks for
            mappings = {"properties": {"body": field(found.endpoint("e"))}}
            body = {"settings": hidden, "mappings": mappings}
            assert found.client("PUT", f"/{MEANING}-index", body).status == 200
        yield from _ways(serve_for_session, elasticsearch)


def _ways(serve: Serve, elasticsearch: Elasticsearch) -> Iterator[Mapping[str, Way]]:
    for method, target, headers, body in SETUP:
        answer = send(elasticsearch.url, method, target, headers, body)
        assert answer.status in (200, 201), answer
    lane = serve(upstream=elasticsearch.url)
    alone = serve("--no-lane", upstream=elasticsearch.url)
    urls = {"direct": elasticsearch.url, "lane": lane.url, "no-lane": alone.url}
    ways = {name: Way(url) for name, url in urls.items()}
    yield ways
    for way in ways.values():
        way.close()
    for target in TEARDOWN:
        send(elasticsearch.url, "DELETE", target)


def is_own(request: Request) -> bool:
    return OWN.match(request[1]) is not None


def param(request: Request) -> Any:
    """One that reads the cluster, which must not change between one way and the next, is alone."""
    method, target, *_ = request
    marks = () if is_own(request) else pytest.mark.alone
    return pytest.param(request, id=f"{method} {target}"[:70], marks=marks)


@pytest.mark.parametrize("request_", [param(request) for request in sorted(REQUESTS, key=is_own)])
def test_a_request_is_answered_alike_on_every_way(ways, request_):
    answers = {name: way.send(request_) for name, way in ways.items()}
    assert answers["lane"] == answers["direct"]
    assert answers["no-lane"] == answers["direct"]


@pytest.mark.parametrize("request_", DROPPED, ids=range(len(DROPPED)))
def test_what_elasticsearch_does_not_answer_is_502(ways, request_):
    with pytest.raises(RemoteDisconnected):
        ways["direct"].send(request_)
    ways["direct"].close()
    for way in ("lane", "no-lane"):
        assert ways[way].send(request_).status == 502


@pytest.mark.parametrize(
    ("way", "target"),
    [
        ("lane", HEALTH),
        ("lane", "/_inference/none"),
        ("no-lane", HEALTH),
        ("no-lane", "/_inference/none"),
    ],
)
def test_a_refused_head_harms_nobody_else(ways, way, target):
    """Elasticsearch keeps the connection open after a head that is too long, but ignores it."""
    headers = [("X-Long", "v" * 16400)]
    url = str(ways[way].url)
    for _ in range(3):
        with closing(Way(url)) as one, closing(Way(url, timeout=5)) as another:
            assert one.send(("GET", target, headers, None)).status == 400
            assert another.send(("GET", target, (), None)).status in (200, 404)


# Messages that a client library would not write.


class Received(io.BytesIO):
    """Bytes in place of a connection, with several answers."""

    def makefile(self, _: str) -> Received:
        return self

    def close(self) -> None:
        """Stay open after one answer."""


def exchange(way: Way, message: bytes) -> bytes:
    """Send a message; all bytes until the other side closes."""
    address = (way.url.host or "", way.url.port or 0)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(message)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def answers_in(raw: bytes, methods: list[str]) -> list[Seen]:
    connection = Received(raw)
    found = []
    for method in methods:
        response = HTTPResponse(cast(socket.socket, connection), method=method)
        response.begin()
        found.append(seen(response))
    assert connection.read() == b""
    return found


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_answered_alike_on_every_way(ways, name):
    """Pipelining, HTTP/1.0, odd but unambiguous framing, 100 Continue."""
    methods, message = MESSAGES[name]
    raw = {way: exchange(ways[way], message) for way in ways}
    answers = {way: answers_in(raw[way], methods) for way in ways}
    assert answers["lane"] == answers["direct"]
    assert answers["no-lane"] == answers["direct"]
    # The application alone omits it if the body has arrived already.
    assert raw["lane"].count(b" 100 Continue") == raw["direct"].count(b" 100 Continue")


@pytest.mark.parametrize(
    "way",
    [
        "direct",
        "lane",
        "no-lane",
    ],
)
def test_a_connection_goes_on_behind_an_early_answer(ways, way):
    """Elasticsearch refuses the media type before the body arrives, and continues behind it."""
    head = (
        b"PUT /_bulk HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
    )
    last = b"GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    address = (ways[way].url.host, ways[way].url.port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head)
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 406 ")
        if b"\r\nconnection: close" not in first.lower():
            connection.sendall(b"{}\n" + last)
            rest = b"".join(iter(lambda: connection.recv(65536), b""))
            assert b"HTTP/1.1 404 " in first + rest


# Writes, and requests that depend on an answer.


def test_writes_are_answered_alike_on_every_way(ways):
    """Each way has an index of its own."""
    names = {way: f"replay-{letter}" for way, letter in zip(ways, "abc", strict=True)}
    for request in WRITES:
        answers = {way: written(ways[way], request, names[way]) for way in ways}
        # Whether a body has a length or comes in chunks is up to who writes it.
        answers = {way: without_length(answer) for way, answer in answers.items()}
        assert answers["lane"] == answers["direct"], request[:2]
        assert answers["no-lane"] == answers["direct"], request[:2]


def without_length(answer: Seen) -> Seen:
    kept = [(name, value) for name, value in answer.headers if name != "content-length"]
    return replace(answer, headers=kept)


def written(way: Way, request: Request, index: str) -> Seen:
    """The answer to a write, without the name of the index and random ids."""
    method, target, headers, body = request
    if isinstance(body, bytes):
        body = body.replace(b"INDEX", index.encode())
    answer = way.send((method, target.replace("INDEX", index), headers, body))
    content = answer.body.replace(index.encode(), b"INDEX")
    content = re.sub(rb"(INDEX/|index_uuid\":\"|_id\":\")[\w-]{20,22}", rb"\1UUID", content)
    pairs = [(name, value.replace(index, "INDEX")) for name, value in answer.headers]
    return replace(answer, headers=pairs, body=content)


def test_pages_are_turned_alike_on_every_way(ways):
    """Scroll ids are long and never the same."""
    pages = {way: list(turn_pages(ways[way])) for way in ways}
    assert pages["lane"] == pages["direct"]
    assert pages["no-lane"] == pages["direct"]
    assert [len(page) for page in pages["direct"]] == [2, 2, 1, 0]


def turn_pages(way: Way) -> Iterator[list[str]]:
    """The ids on each page of a scroll."""
    answer = way.send(("POST", "/replay/_search?scroll=1m&size=2&sort=_doc", JSON, PAGE))
    while True:
        page = orjson.loads(answer.body)
        yield [hit["_id"] for hit in page["hits"]["hits"]]
        scroll = orjson.dumps({"scroll": "1m", "scroll_id": page["_scroll_id"]})
        if not page["hits"]["hits"]:
            break
        answer = way.send(("POST", "/_search/scroll", JSON, scroll))
    ended = way.send(("DELETE", f"/_search/scroll/{page['_scroll_id']}", (), None))
    assert ended.status == 200
    assert base64.b64decode(page["_scroll_id"], altchars=b"-_")


# Intended differences.


@pytest.mark.parametrize("way", ["lane", "no-lane"])
def test_an_authorization_in_two_spellings_is_refused_here_alone(ways, way):
    """Elasticsearch accepts the same value twice."""
    request: Request = (
        "GET", HEALTH, [("Authorization", "Basic a"), ("AUTHORIZATION", "Basic a")], None
    )  # fmt: skip
    assert ways["direct"].send(request).status == 200
    assert ways[way].send(request).status == 400
