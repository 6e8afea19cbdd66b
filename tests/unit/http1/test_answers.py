"""Answer heads: where the message ends, and what of it is passed back."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.ground.errors import UpstreamUnavailable
from proxy.http1 import AnswerParser, Malformed, error_answer, whole_answer
from tests.support.http1 import BLOCK


def answer(raw: bytes, method: bytes = b"GET"):
    head, rest = AnswerParser().feed(raw, method)
    assert head is not None
    return head, rest


PLAIN = b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_an_answer_may_be_cut_anywhere(cut):
    parser = AnswerParser()
    for _ in range(2):  # the second time it is known
        assert parser.feed(PLAIN[:cut], b"GET") == (None, b"")
        head, rest = parser.feed(PLAIN[cut:] + b"abc", b"GET")
        assert head is not None
        assert (head.raw, head.length, head.clean, rest) == (PLAIN, 3, True, b"abc")


def test_an_answer_is_known_again_only_for_the_same_method():
    parser = AnswerParser()
    lengths = []
    for method in (b"GET", b"GET", b"HEAD", b"GET"):
        head, _ = parser.feed(PLAIN, method)
        assert head is not None
        lengths.append(head.length)
    assert lengths == [3, 3, 0, 3]


def answer_outcome(parser, raw: bytes, method: bytes):
    try:
        return parser.feed(raw, method)
    except Malformed as error:
        return str(error)


STATUS = st.sampled_from([b"200 OK", b"204 No Content", b"304 Not Modified", b"404 Not Found"])

METHOD = st.sampled_from([b"GET", b"HEAD"])


@given(STATUS, METHOD, BLOCK, STATUS, METHOD, BLOCK)
@example(b"200 OK", b"GET", b"Content-Length: 3\r\n", b"200 OK", b"GET", b"Content-Length: 4\r\n")
def test_an_answer_parser_that_remembers_finds_what_a_new_one_finds(
    first, first_method, first_block, second, method, block
):
    parser = AnswerParser()
    raw = b"HTTP/1.1 " + first + b"\r\n" + first_block + b"\r\n"
    if not isinstance(answer_outcome(parser, raw, first_method), tuple):
        return
    raw = b"HTTP/1.1 " + second + b"\r\n" + block + b"\r\nrest"
    assert answer_outcome(parser, raw, method) == answer_outcome(AnswerParser(), raw, method)


@pytest.mark.parametrize(
    ("head", "method", "length", "chunked", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5", b"GET", 5, False, True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5", b"HEAD", 0, False, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", b"GET", None, True, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", b"HEAD", 0, False, True),
        (b"HTTP/1.1 204 No Content", b"GET", 0, False, True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5", b"GET", 0, False, True),
        (b"HTTP/1.1 100 Continue", b"GET", 0, False, True),
        (b"HTTP/1.1 200", b"GET", None, False, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close", b"GET", 5, False, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5", b"GET", 5, False, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive", b"GET", 5, False, True),
    ],
)
def test_where_an_answer_ends(head, method, length, chunked, kept):
    found, _ = answer(head + b"\r\n\r\n", method)
    assert (found.length, found.chunked, found.keep_alive) == (length, chunked, kept)


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x16",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300_000,
    ],
)
def test_what_is_no_proper_answer(head):
    with pytest.raises(Malformed):
        AnswerParser().feed(head, b"GET")


def test_an_answer_loses_what_is_about_the_connection_it_came_on():
    raw = (
        b"HTTP/1.0 200 Fine\r\nConnection: close\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n"
        b"Set-Cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n"
    )
    head, _ = answer(raw)
    kept = b"HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n"
    assert not head.clean
    assert head.forwarded(keep_alive=True, minor=1) == kept + b"\r\n"
    assert head.forwarded(keep_alive=False, minor=1) == kept + b"Connection: close\r\n\r\n"
    assert head.forwarded(keep_alive=True, minor=0) == kept + b"Connection: keep-alive\r\n\r\n"


def test_chunked_stays_for_http_1_1_and_goes_for_http_1_0():
    head, _ = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n")
    kept = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n"
    assert head.forwarded(keep_alive=True, minor=1) == kept + b"\r\n"
    assert (
        head.forwarded(keep_alive=False, minor=0) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    )


def test_an_error_is_a_whole_answer():
    error = UpstreamUnavailable("upstream [http://es:9200] cannot be reached")
    raw = error_answer(error, method=b"GET", keep_alive=False)
    head, body = answer(raw)
    assert head.length == len(body)
    assert raw.startswith(
        b"HTTP/1.1 503 Service Unavailable\r\nX-elastic-product: Elasticsearch\r\n"
        b"content-type: application/json\r\n"
    )
    assert b"Connection: close\r\n" in raw
    assert orjson.loads(body) == error.envelope()
    assert error_answer(error, method=b"HEAD", keep_alive=True).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_whole_answer_has_its_headers_and_its_length(status, keep_alive, count):
    headers = [("A", "1"), ("b", "ü"), ("A", "2")][:count]
    for body in (b"", b"x", b"y" * 1000):
        lines = [
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}",
            *(f"{name}: {value}" for name, value in headers),
            f"content-length: {len(body)}",
            *([] if keep_alive else ["Connection: close"]),
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
        for method, sent in ((b"GET", body), (b"HEAD", b"")):
            made = whole_answer(status, headers, body, method=method, keep_alive=keep_alive)
            assert made == head + sent


@pytest.mark.parametrize("status", [200, 404])
def test_no_header_breaks_a_line(status):
    for _ in range(2):
        with pytest.raises(ValueError, match="line break"):
            whole_answer(status, [("A", "1\r\nB: 2")], b"", method=b"GET", keep_alive=True)
