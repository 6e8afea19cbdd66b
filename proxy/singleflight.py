"""Concurrent calls for the same thing, made once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Callers that arrive while a call for their key is under way share its outcome."""

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Future[V]] = {}

    async def run(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """What `call` returns or raises; of those who wait, one takes over if its caller leaves."""
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait([flight])  # unlike `await flight`: a waiter who leaves ends nothing
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
            flight.exception()  # seen: there may be nobody else to see it
            raise
        else:
            flight.set_result(value)
            return value
        finally:
            del self._flights[key]
            flight.cancel()  # no effect but when the caller left
