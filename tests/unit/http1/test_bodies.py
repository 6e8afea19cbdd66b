"""Bodies on their way: where they end, and what of them is passed on, wherever they are cut."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import Malformed
from proxy.http1.bodies import (
    CHUNKS_AT_ONCE,
    ChunkedBody,
    EndlessBody,
    RechunkedBody,
    SizedBody,
    UnchunkedBody,
)
from tests.support.http1 import feed_bytes

CHUNKED = b'5\r\nhello\r\n00006;a=b;c="d"\r\n world\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n'

PAYLOAD = b"hello world0123456789"

FORMS = {
    ChunkedBody: CHUNKED,
    UnchunkedBody: PAYLOAD,
    RechunkedBody: b"15\r\n" + PAYLOAD + b"\r\n0\r\n\r\n",
}


def payload_of(raw: bytes) -> bytes:
    part, _ = UnchunkedBody().feed(raw)
    return part


@pytest.mark.parametrize("form", FORMS)
def test_chunked_bodies_in_one_piece(form):
    body = form()
    assert body.feed(CHUNKED + b"GET / HTTP/1.1") == (FORMS[form], len(CHUNKED))
    assert body.ended


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
def test_chunked_bodies_may_be_cut_anywhere(form, cut):
    body = form()
    first, used = body.feed(CHUNKED[:cut])
    assert used == cut
    assert not body.ended
    second, used = body.feed(CHUNKED[cut:] + b"GET")
    assert used == len(CHUNKED) - cut
    assert body.ended
    if form is RechunkedBody:
        assert payload_of(first + second) == PAYLOAD
    else:
        assert first + second == FORMS[form]


@pytest.mark.parametrize(
    "raw",
    [
        b"0x2\r\nab\r\n0\r\n\r\n",
        b" 2\r\nab\r\n0\r\n\r\n",
        b"2 \r\nab\r\n0\r\n\r\n",
        b"2 ;a\r\nab\r\n0\r\n\r\n",
        b"-2\r\nab\r\n0\r\n\r\n",
        b"+2\r\nab\r\n0\r\n\r\n",
        b"\r\nab\r\n0\r\n\r\n",
        b"g\r\nab\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nab",
        b"2\nab\r\n0\r\n\r\n",
        b"2\rab\r\n0\r\n\r\n",
        b"2;a\nb\r\nab\r\n0\r\n\r\n",
        b"2;a\x00b\r\nab\r\n0\r\n\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"2\r\nab0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"2\r\nab\r\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nAuthorization: x\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 10_000,
        b"2;" + b"x" * 10_000,
    ],
)
def test_bad_chunks_are_refused_wherever_they_are_cut(raw):
    with pytest.raises(Malformed):
        ChunkedBody().feed(raw)
    with pytest.raises(Malformed):
        feed_bytes(ChunkedBody(), raw)


class Recorder:
    """What llhttp finds in a request with a chunked body."""

    ended = False
    failed = False

    def __init__(self, raw: bytes) -> None:
        self.body = b""
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            parser.feed_data(raw)
        except httptools.HttpParserError:
            self.failed = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ended = True


CHUNKS = st.lists(
    st.sampled_from(
        [
            *(b"0", b"1", b"2", b"a", b"00", b"\r\n", b"\r", b"\n", b";", b"=", b" ", b"x", b'"'),
            *(b"X: y\r\n", b"1\r\na\r\n", b"2\r\nab\r\n", b"0\r\n\r\n", b"\0"),
        ]
    ),
    max_size=10,
).map(b"".join)


@given(CHUNKS)
def test_whatever_is_taken_llhttp_takes_in_the_same_way(raw):
    body = UnchunkedBody()
    try:
        payload, used = body.feed(raw)
    except Malformed:
        return
    other = Recorder(raw[:used])
    assert other.body == payload
    if body.ended:
        assert (other.ended, other.failed) == (True, False)


@given(st.lists(st.binary(min_size=1, max_size=5)))
def test_what_is_chunked_anew_is_read_by_llhttp(pieces):
    raw = b"".join(b"%x;ext\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    rechunked, _ = RechunkedBody().feed(raw)
    other = Recorder(rechunked)
    assert (other.body, other.ended, other.failed) == (b"".join(pieces), True, False)


def test_sized_bodies_end_where_they_said():
    body = SizedBody(5)
    assert (body.feed(b"abc"), body.ended) == ((b"abc", 3), False)
    assert (body.feed(b"defGET"), body.ended) == ((b"de", 2), True)
    assert SizedBody(0).ended


def test_endless_bodies_take_everything():
    body = EndlessBody()
    assert body.feed(b"abc") == (b"abc", 3)
    assert not body.ended
    assert body.until_close


# --- how much is read at once, and how much framing is too much

ONE_BYTE = b"1\r\nx\r\n"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [ONE_BYTE, b"001;a=b\r\nx\r\n"])
def test_so_many_chunks_are_read_at_once_and_the_rest_when_it_is_fed_again(form, chunk):
    raw = chunk * 100 + b"0\r\n\r\n"
    body = form()
    taken, fed, left = b"", 0, raw
    while not body.ended:
        part, used = body.feed(left, 10)
        assert used <= 10 * len(chunk)
        taken, fed, left = taken + part, fed + 1, left[used:]
    assert left == b""
    assert fed > 10
    whole, _ = form().feed(raw)
    assert payload_of(taken) == payload_of(whole) if form is RechunkedBody else taken == whole


def test_a_large_chunk_is_read_at_once_however_many_may_be_read():
    raw = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert ChunkedBody().feed(raw, 1) == (raw, len(raw))


def test_long_extensions_and_trailers_count_as_chunks():
    for raw in (
        (b"1;a=" + b"b" * 4000 + b"\r\nx\r\n") * 64,
        b"0\r\n" + (b"X: " + b"y" * 3000 + b"\r\n") * 5,
    ):
        _, used = ChunkedBody().feed(raw, 10)
        assert used < 20 * 256 + 4096


def test_after_small_chunks_none_is_read_as_soon_as_it_comes():
    body = ChunkedBody()
    assert body.chunks_at_once == CHUNKS_AT_ONCE
    body.feed(ONE_BYTE * 2000)
    assert body.chunks_at_once == 0
    body.feed(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
    assert body.chunks_at_once == CHUNKS_AT_ONCE
    assert SizedBody(1).chunks_at_once == EndlessBody().chunks_at_once == CHUNKS_AT_ONCE


@pytest.mark.parametrize(
    "chunk", [ONE_BYTE, b"00000002;a=b;c\r\nxx\r\n", b"1;a=" + b"b" * 4000 + b"\r\nx\r\n"]
)
def test_framing_that_outweighs_the_payload_for_long_is_refused(chunk, framing_limit):
    body = ChunkedBody()
    body.feed(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")  # what came before does not help
    framing = len(chunk) - 2 * chunk.count(b"x")
    most = framing_limit // framing
    body.feed(chunk * most)
    with pytest.raises(Malformed, match="framing"):
        body.feed(chunk)


def test_chunks_that_hold_more_than_their_framing_are_never_refused(framing_limit):
    body = ChunkedBody()
    block = b"8\r\n12345678\r\n" * 5000
    for _ in range(4 * framing_limit // len(block)):
        assert body.feed(block) == (block, len(block))
