"""Answers that come as events."""

from __future__ import annotations

from proxy.inference.streaming import Stream


async def _numbers():
    for number in (1, 2, 3):
        yield number


async def test_each_event_is_converted_as_it_comes():
    with Stream(_numbers(), lambda: None).map(str).map(lambda text: text * 2) as events:
        assert [event async for event in events] == ["11", "22", "33"]


async def test_leaving_it_ends_the_answer():
    ended = []
    with Stream(_numbers(), lambda: ended.append(True)).map(str) as events:
        assert await anext(events) == "1"
        assert not ended
    assert ended == [True]
