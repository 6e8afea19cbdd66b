"""Work beside the event loop, and whose turn it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from proxy.limits.threads import Threads, offload
from tests.support.waiting import eventually


async def test_what_is_large_is_read_beside_the_event_loop():
    here = threading.get_ident()
    assert await offload(10, 10, threading.get_ident) == here
    assert await offload(11, 10, threading.get_ident) != here


class Works:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.threads = Threads()
        self.begun: list[str] = []
        self.may_end = threading.Event()

    async def do(self, caller: str, name: str = "") -> None:
        self.threads.serve(caller.encode())
        await offload(1, 0, lambda: self._work(name or caller))

    async def until(self, holds: Callable[[], bool]) -> None:
        await asyncio.to_thread(eventually, holds)

    def _work(self, name: str) -> None:
        self.begun.append(name)
        assert self.may_end.wait(30)


@pytest.fixture
def works():
    works = Works()
    yield works
    works.may_end.set()


async def test_a_caller_with_much_work_leaves_threads_to_others(works):
    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(works.do("greedy"))
        await works.until(lambda: len(works.begun) == 2)
        group.create_task(works.do("other"))
        await works.until(lambda: "other" in works.begun)
        assert works.begun.count("greedy") == 2
        works.may_end.set()
    assert works.begun.count("greedy") == 16


async def test_work_whose_time_is_up_before_it_begins_is_never_done(works):
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(works.do("a"))
        await works.until(lambda: len(works.begun) == 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await works.do("a", "late")
        works.may_end.set()
    await works.do("a", "next")
    assert works.begun == ["a", "a", "next"]


async def test_work_that_has_begun_counts_until_it_ends(works):
    task = asyncio.ensure_future(works.do("a"))
    await works.until(lambda: bool(works.begun))
    for _ in range(2):
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        assert not task.done()
    works.may_end.set()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_nothing_is_remembered_of_callers_without_work(works):
    works.may_end.set()
    await works.do("a")
    assert not works.threads._shares
