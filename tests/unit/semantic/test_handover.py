"""Windows between two steps of a bulk: who waits for whom, and what is taken together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count
from typing import Any

import pytest

from proxy.semantic.bulk import Item, Malformed, Window
from proxy.semantic.handover import Handover, others_first, sent_first


def window(name: str, numbers: int = 1, lines: int = 0) -> Window:
    item = Item(action="index", meta={"_id": name}, action_line=b"{}", source=b"{}")
    return Window([item], lines, numbers)


def ids(found: Window | None) -> list[str | None]:
    assert found is not None
    return [item.id for item in found.items]


async def give(handover: Handover, *windows: Window) -> None:
    with handover.giving():
        for one in windows:
            await handover.room(one)
            handover.give(one)


async def fail(handover: Handover, error: Exception) -> None:
    with handover.giving():
        raise error


async def waits(step: Awaitable[Any]) -> asyncio.Future[Any]:
    """A step that is under way, and does not end by itself."""
    waiting = asyncio.ensure_future(step)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


async def test_what_waits_is_taken_together_as_far_as_there_is_room():
    handover = Handover(208)
    giving = await waits(give(handover, window("1", 4, lines=7), window("2", 6), window("3")))
    taken = await handover.take()
    assert ids(taken) == ["1", "2"]
    assert taken is not None
    assert (taken.lines, taken.numbers) == (7, 10)
    await giving
    assert ids(await handover.take()) == ["3"]
    assert await handover.take() is None


async def test_a_window_is_awaited_as_long_as_none_is_there():
    handover = Handover()
    seen = [handover.is_awaited]
    taking = await waits(handover.take())
    seen.append(handover.is_awaited)
    giving = asyncio.ensure_future(give(handover, window("1"), window("2")))
    await asyncio.sleep(0)
    seen.append(handover.is_awaited)
    assert ids(await taking) == ["1"]
    await giving
    seen.append(handover.is_awaited)
    assert seen == [False, True, False, False]


async def test_windows_without_vectors_are_as_large_together_as_others():
    handover = Handover(8)  # bytes: two windows
    giving = await waits(give(handover, *(window(name, numbers=0) for name in "123")))
    assert ids(await handover.take()) == ["1", "2"]
    await giving
    assert ids(await handover.take()) == ["3"]


async def test_deletions_weigh_what_their_lines_do():
    item = Item(action="delete", meta={"_id": "1"}, action_line=b"{}", source=None)
    assert Window([item, item]).weight() == 4


def test_a_window_weighs_what_is_sent_for_it_and_no_less_than_what_came():
    item = Item(action="index", meta={}, action_line=b"{}", source=b"x" * 98)
    assert Window([item], numbers=5).weight() == 200
    assert Window([item], numbers=5, pieces=[b"x" * 70, b"x" * 70]).weight() == 140
    assert Window([item], numbers=5, pieces=[b""]).weight() == 100  # as it has failed


async def test_one_window_always_has_room():
    handover = Handover()
    giving = await waits(give(handover, window("1", 100), window("2", 100)))
    assert ids(await handover.take()) == ["1"]
    assert ids(await handover.take()) == ["2"]
    await giving


async def test_who_takes_waits_for_a_window():
    handover = Handover()
    taking = await waits(handover.take())
    await give(handover, window("1"))
    assert ids(await taking) == ["1"]


async def test_whether_more_comes_is_known_before_the_last_one_is_taken():
    handover = Handover()
    with handover.giving():
        await handover.room(window("1"))
        handover.give(window("1"))
        taking = await waits(handover.take(knows_end=True))
    assert ids(await taking) == ["1"]
    assert await handover.is_over()


async def test_only_what_may_be_the_last_one_waits():
    handover = Handover(1000)
    with handover.giving():
        for name in ("1", "2", "3"):
            await handover.room(window(name))
            handover.give(window(name))
        assert ids(await handover.take(knows_end=True)) == ["1", "2"]
        assert not await handover.is_over()
        taking = await waits(handover.take(knows_end=True))
    assert ids(await taking) == ["3"]
    assert await handover.is_over()


async def test_more_comes_once_it_is_announced():
    handover = Handover()
    giving = await waits(give(handover, window("1"), window("2")))
    assert ids(await handover.take(knows_end=True)) == ["1"]
    assert not await handover.is_over()
    await giving
    assert ids(await handover.take(knows_end=True)) == ["2"]
    assert await handover.is_over()


async def test_whether_more_comes_may_have_to_be_waited_for():
    handover = Handover()
    with handover.giving():
        asking = await waits(handover.is_over())
    assert await asking


async def test_an_error_ends_it_for_who_takes():
    handover = Handover()
    handover.give(window("1"))
    await fail(handover, Malformed(b"bad", 1))
    with pytest.raises(Malformed):
        await handover.take()
    with pytest.raises(Malformed):
        await handover.is_over()


async def test_an_error_that_is_nobodys_fault_ends_who_gives():
    with pytest.raises(ValueError, match="bad"):
        await fail(Handover(), ValueError("bad"))


@pytest.mark.parametrize(("seconds", "turns"), [(0.001, 5), (0.00001, 3)])
async def test_others_work_first_until_they_have_little_to_do(seconds: float, turns: int):
    times = count()
    waiting = asyncio.ensure_future(others_first(lambda: next(times) * seconds))
    for _ in range(turns + 1):
        assert not waiting.done()
        await asyncio.sleep(0)
    assert waiting.done()


async def test_what_is_sent_has_left_before_others_work():
    waiting = asyncio.ensure_future(sent_first())
    for _ in range(5):
        assert not waiting.done()
        await asyncio.sleep(0)
    assert waiting.done()
