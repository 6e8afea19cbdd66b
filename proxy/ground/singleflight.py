"""Concurrent calls for the same thing, made only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Calls by key; whoever arrives while one is under way waits for its outcome."""

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Future[V]] = {}

    def is_under_way(self, key: K) -> bool:
        """Whether there is a call for `key`."""
        return key in self._flights

    async def run(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """What `call` returns or raises, or the same of a call for `key` that is under way.

        If the task that made the call is cancelled, one of those that wait calls again.
        """
        while (flight := self._flights.get(key)) is not None:
            # Not `await flight`, which would cancel it for all when one that waits is cancelled.
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result()
        return await self._lead(key, call)

    async def _lead(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        flight: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        try:
            value = await call()
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # retrieved, or asyncio would log it where nobody waits
            raise
        else:
            flight.set_result(value)
            return value
        finally:
            del self._flights[key]
            flight.cancel()  # has no effect unless this task was cancelled
