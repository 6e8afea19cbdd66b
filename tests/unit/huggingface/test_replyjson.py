"""The JSON of providers' replies, whose errors quote nothing of them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import ParsingFailed, XContentParseFailed
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.replyjson import (
    expect,
    items_of,
    load,
    load_error,
    parse_event,
    read_reply,
    root_of,
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":[1,2.5,null,true]}', {"a": [1, 2.5, None, True]}),
        (b'"\\ud83d"', "\ud83d"),
        (b"5", 5),
    ],
)
def test_a_reply_is_read_even_with_half_a_character(data: bytes, value: Any):
    assert load(data) == value


@pytest.mark.parametrize("data", [b"", b"hf_secret", b'{"hf_secret', b"<html>hf_secret"])
def test_errors_quote_nothing(data: bytes):
    with pytest.raises(XContentParseFailed) as caught:
        load(data)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"error":"x"}', {"error": "x"}),
        (b"<html>", None),
        (b"", None),
        (b'"' + b"x" * 5000 + b'"', "x" * 5000),
        (b'"\\ud83d' + b"x" * 5000 + b'"', None),
    ],
)
def test_errors_are_read_as_far_as_that_is_quick(data: bytes, value: Any):
    assert load_error(data) == value


def test_the_elements_of_an_array_come_before_its_error():
    document = read_reply(b"[1, 2, x")
    items = items_of(document, root_of(document))
    assert [next(items).plain(), next(items).plain()] == [1, 2]
    with pytest.raises(XContentParseFailed):
        next(items)


def test_what_follows_an_array_is_not_looked_at():
    document = read_reply(b"[1] rubbish")
    assert [node.plain() for node in items_of(document, root_of(document))] == [1]


def test_a_value_of_the_wrong_kind_is_told_by_its_place():
    document = read_reply(b'\n {"a":1}')
    with pytest.raises(ParsingFailed, match=r"expecting token of type \[START_ARRAY\]"):
        expect(document, root_of(document), "START_ARRAY")


@pytest.mark.parametrize("data", ["[]", "1", "rubbish", ""])
def test_events_hold_objects(data: str):
    assert parse_event(ServerSentEvent('{"a":1}')) == {"a": 1}
    with pytest.raises(XContentParseFailed):
        parse_event(ServerSentEvent(data))
