"""Threads for what would block the event loop: reading and writing what is large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypeVar

from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames

T = TypeVar("T")
# More would only share the interpreter among themselves, and keep the event loop waiting for it.
THREADS: Final = 4
_OF_ONE_CALLER: Final = 2  # threads; somebody else always finds one free, or waits for a short turn
_POOL: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")


@dataclass(slots=True)
class _Share:
    """The threads that one caller may have at once."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_OF_ONE_CALLER))
    users: int = 0


class Threads:
    """Shares the threads out among callers; one per process, used in its event loop only.

    Whoever has as many as one caller may have waits behind its own work, and all wait in one line
    for the next free thread. So nobody is kept waiting by how much work another caller has.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(THREADS)
        self._shares: dict[Hashable, _Share] = {}

    def serve(self, caller: Hashable) -> None:
        """What is offloaded from here on, in this task, is work of that caller."""
        _current.set((self, caller))

    @asynccontextmanager
    async def place(self, caller: Hashable) -> AsyncIterator[None]:
        """A thread for the caller is free while entered; the wait for it can be cancelled."""
        share = self._shares.setdefault(caller, _Share())
        share.users += 1
        try:
            async with share.places, self._places:
                yield
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[caller]


# Whose work is done. A context variable, because bodies and replies are read by functions that know
# neither the request nor its caller.
_current: ContextVar[tuple[Threads, Hashable] | None] = ContextVar("threads", default=None)


async def offload(size: int, at_most: int, work: Callable[[], T]) -> T:
    """The result of `work`, which is about `size` bytes: done in a thread if more than `at_most`.

    Cancelled while it waits for a thread, the work is dropped. Cancelled once it has begun, it ends
    first, as what it takes is in use until then.
    """
    if size <= at_most:
        return work()
    if (current := _current.get()) is None:
        return await _done(work)
    threads, caller = current
    async with threads.place(caller):
        return await _done(work)


def _without_frames(work: Callable[[], T]) -> T:
    """What `work` returns or raises; its frames go, as nobody may be there to take the error."""
    try:
        return work()
    except ProxyError as error:
        forget_frames(error)
        raise


async def _done(work: Callable[[], T]) -> T:
    submitted = _POOL.submit(_without_frames, work)
    running = asyncio.wrap_future(submitted)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not submitted.cancel() and not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                continue
        if not submitted.cancelled():
            running.exception()  # seen, as nobody will ask for it
        raise
