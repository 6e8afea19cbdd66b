from __future__ import annotations

import asyncio

import pytest

from proxy.ground.errors import MemoryShort
from proxy.limits.memory import (
    MemoryBudget,
    count_for,
    hold_at_least,
    hold_only,
    passing,
    reserve,
    wide_text_surplus,
)


async def test_memory_is_counted_for_the_request_under_way_and_given_back():
    memory = MemoryBudget(10)
    reserve(1000)  # of no request
    with memory.request():
        reserve(4)
        async with asyncio.TaskGroup() as group:  # batches of one request
            group.create_task(asyncio.to_thread(lambda: None))
            group.create_task(_hold(4))
        assert memory.reserved == 8
        with pytest.raises(MemoryShort) as caught:
            reserve(3)
        error = caught.value.envelope()["error"]
        assert error["type"] == "circuit_breaking_exception"
        assert (error["bytes_wanted"], error["bytes_limit"]) == (11, 10)
        reserve(2)
    assert memory.reserved == 0


async def _hold(size):
    reserve(size)


@pytest.mark.parametrize(
    ("body", "per_byte"),
    [
        (b'{"input":"abc"}', 0),
        ('{"input":"ü"}'.encode(), 2),
        (rb'{"input":"\u00fc"}', 2),
        ('{"input":"😀"}'.encode(), 4),
        (rb'{"input":"\ud83d\ude00"}', 4),
        (rb'{"input":"\uD83D\uDE00"}', 4),
        ('{"input":"中"}'.encode("utf-16-le"), 4),
        (b'"' + b"x" * (2**20 - 2) + rb"\ud83d\ude00", 4),  # where one piece ends
        (b'"' + b"x" * (2**20 - 1) + "ü".encode() + b"x" * 2**20, 2),
    ],
)
def test_one_wide_character_makes_room_for_a_body_of_them(body, per_byte):
    assert wide_text_surplus(body) == len(body) * per_byte


def test_one_caller_has_a_share_and_gives_it_back():
    memory = MemoryBudget(160)
    with memory.request():
        reserve(10)  # before anybody knows whose it is
        count_for("a")
        reserve(140)
        with pytest.raises(MemoryShort) as caught:
            reserve(1)
        assert "[<http_requests of one caller>] would be [151b]" in caught.value.reason
        with memory.request():
            count_for("b")
            reserve(10)
        with memory.request():
            count_for("a")
            with pytest.raises(MemoryShort):
                reserve(1)
    assert (memory.reserved, memory.held) == (0, {})


def test_an_answer_takes_what_it_needs_and_an_error_nothing_else():
    memory = MemoryBudget(100)
    with memory.request():
        reserve(50)
        hold_at_least(40)
        assert memory.reserved == 50
        hold_at_least(60)
        assert memory.reserved == 60
        with pytest.raises(MemoryShort):
            hold_at_least(101)
        hold_only(5)
        assert memory.reserved == 5
    assert memory.reserved == 0


def test_a_part_of_a_request_gives_back_what_it_took():
    budget = MemoryBudget(1600)
    with budget.request():
        count_for("a")
        reserve(100)
        for _ in range(20):
            with passing():
                reserve(1000)
                assert budget.reserved == 1100
                with pytest.raises(MemoryShort, match="of one caller"):
                    reserve(450)
        assert budget.reserved == 100
    assert budget.reserved == 0
