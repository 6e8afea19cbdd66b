from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.ground.sse import (
    DONE,
    MAX_EVENT_BYTES,
    EventDecoder,
    EventTooLarge,
    ServerSentEvent,
    encode_event,
)
from tests.support.samples import at_most

Event = ServerSentEvent


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("data: a\n\n", [Event("a")]),
        ("data:a\n\n", [Event("a")]),
        ("data:  a \n\n", [Event(" a ")]),
        ("data: a\r\rdata: b\r\r", [Event("a"), Event("b")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")]),
        ("data: a\r\n\ndata: b\n\r\n", [Event("a"), Event("b")]),
        ("data: a\ndata: b\n\n", [Event("a\nb")]),
        ("event: error\ndata: a\n\n", [Event("a", "error")]),
        ("data: a\nevent: x\n\ndata: b\n\n", [Event("a", "x"), Event("b")]),
        ("event: x\n\ndata: b\n\n", [Event("b")]),
        ("DATA: a\nEvent: x\n\n", [Event("a", "x")]),
        (": comment\n\n: ping\ndata: a\n\n", [Event("a")]),
        ("id: 5\nretry: 10\nother: x\ndata: a\n\n", [Event("a")]),
        ("data\n\n", [Event("")]),
        ("data:\ndata:\n\n", [Event("\n")]),
        ("\n\n\n\ndata: a\n\n\n\n", [Event("a")]),
        ("\ufeffdata: a\n\n", [Event("a")]),
        ("data: a\n\n\ufeffdata: b\n\n", [Event("a"), Event("b")]),
        ("\ufeffevent: x\n\ufeffdata: a\n\ufeff: ping\n\n", [Event("a", "x")]),
        ("data: a: b\n\n", [Event("a: b")]),
        ("data: a\u2028b\u0085c\x0bd\n\n", [Event("a\u2028b\u0085c\x0bd")]),
        ("data: ü€😀\n\n", [Event("ü€😀")]),
        ("data: a\n", []),
        ("data: a", []),
        ("", []),
    ],
)
def test_reads_streams_by_the_standard(stream, events):
    data = stream.encode()
    assert decode(data) == events
    for cut in range(len(data) + 1):
        assert decode(data[:cut], data[cut:]) == events


LINE_ENDS = st.sampled_from(["\n", "\r", "\r\n"])
LINES = st.sampled_from(
    ["data: ü€😀", "data:x", "data", "event: error", ": comment", "id: 1", "", "", "\ufeffdata: y"]
)
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


@given(STREAMS, st.integers(1, 4), st.integers(0, 3))
@example(b"data: x\r\n\n", 1, 0)
@settings(max_examples=200)
def test_a_stream_in_pieces_holds_the_same_events(data, size, first):
    places = [0, *range(first, len(data), size), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert decode(*pieces) == decode(data)


def test_a_blank_line_after_a_line_end_in_two_pieces_ends_the_event():
    assert decode(b"data: x\r", b"\n", b"\n") == [Event("x")]


@given(STREAMS.map(lambda data: data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))
def test_a_stream_fed_byte_by_byte_holds_the_same_events(data):
    assert decode(*(data[n : n + 1] for n in range(len(data)))) == decode(data)


@given(STREAMS.map(lambda data: data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")))
def test_every_line_end_means_the_same(data):
    assert decode(data.replace(b"\n", b"\r\n")) == decode(data)
    assert decode(data.replace(b"\n", b"\r")) == decode(data)


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_any_bytes_are_read(chunks):
    decode(*chunks, b"\n\n")


def test_bytes_that_are_not_utf_8_become_replacement_characters():
    assert decode(b"data: \xff\n\n") == [Event("\ufffd")]
    assert decode(b"data: \xf0\x9f", b"\x98\x80\n\n") == [Event("😀")]


def test_an_event_without_end_is_too_large():
    decoder = EventDecoder()
    half = b"x" * (MAX_EVENT_BYTES // 2)
    assert list(decoder.feed(b"data: " + half)) == []
    with pytest.raises(EventTooLarge):
        list(decoder.feed(half))


def test_the_limit_counts_for_each_event_alone():
    event = b"data: " + b"x" * (MAX_EVENT_BYTES // 4) + b"\n\n"
    assert len(decode(*[event] * 8)) == 8


def test_a_long_line_in_small_pieces_takes_time_in_proportion():
    with at_most(2):
        assert len(decode(b"data: ", *[b"x" * 256] * 4000, b"\n\n")) == 1


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_what_is_written_can_be_read(text):
    assert decode(encode_event(text.encode())) == [Event(text)]
    assert decode(encode_event(text.encode(), b"error")) == [Event(text, "error")]


def test_the_end_is_an_event_without_byte_order_mark():
    assert DONE == b"event: message\ndata: [DONE]\n\n"


def test_the_error_that_ends_a_stream_of_llama_cpp_is_an_event():
    stream = b'data: a\n\nerror: {"code":400,"message":"m"}\n\n'
    assert decode(stream) == [Event("a"), Event('{"code":400,"message":"m"}', "error")]
    assert decode(b'data: a\nerror: {"code":400}\n\n') == [Event('{"code":400}', "error")]
    assert decode(b"error: text\n\n") == []


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        (b"", ""),
        (b"data: a\n\n", ""),
        (b": ping\n\nid: 1\nretry: 5\n\n", ""),
        (b'{"a":\n\n1}', '{"a":\n1}'),
        (b"<html>\n<p>: x</p>\n\n</html>\n", "<html>\n<p>: x</p>\n</html>"),
        (b"before\ndata: a\n\nbehind", "behind"),
        (b"Error: out of memory\n", "Error: out of memory"),
        (b"data: a", "a"),
        (b"data: a\n", "a"),
        (b"\xef\xbb\xbf<html>", "<html>"),
        (b"[DONE]\n\n[Done]", ""),
    ],
)
def test_keeps_what_is_no_event(stream, left):
    decoder = EventDecoder()
    list(decoder.feed(stream))
    decoder.end()
    assert decoder.left == left


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (b"data: a\n\n", Event("")),
        (b"data: a\n\ndata: b", Event("b")),
        (b"data: a\ndata: b\n", Event("a\nb")),
        (b"event: error\ndata: a\n", Event("a", "error")),
        (b"data: a\n\nevent: err", Event("", "err")),
    ],
)
def test_keeps_the_event_that_has_not_ended(stream, event):
    decoder = EventDecoder()
    list(decoder.feed(stream))
    decoder.end()
    assert decoder.unfinished == event


def test_keeps_no_more_than_a_part_of_what_is_no_event():
    decoder = EventDecoder()
    for _ in range(64):
        list(decoder.feed(b"x" * 100_000 + b"\n\n"))
    assert len(decoder.left) <= 64 * 1024
    list(decoder.feed(b"y" * 100_000))
    decoder.end()
    assert len(decoder.left) <= 64 * 1024
