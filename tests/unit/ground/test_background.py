from __future__ import annotations

import asyncio
from contextvars import ContextVar

from proxy.ground.background import Background

caller: ContextVar[str | None] = ContextVar("caller", default=None)


async def test_it_is_done_in_the_name_of_no_caller():
    background, seen = Background(), []

    async def look() -> None:
        seen.append(caller.get())

    caller.set("somebody")
    background.start(look())
    await background.settled()
    assert seen == [None]
    assert len(background) == 0


async def test_it_ends_with_the_process():
    background, ended = Background(), []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    background.start(wait())
    await asyncio.sleep(0)
    await background.close()
    assert ended == [True]


async def test_what_fails_leaves_the_others_alone():
    background, done = Background(), []

    async def fail() -> None:
        raise ValueError

    async def work() -> None:
        done.append(True)

    background.start(fail())
    background.start(work())
    await background.settled()
    assert done == [True]
