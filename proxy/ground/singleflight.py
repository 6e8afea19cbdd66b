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
        # For each call, those who wait: they get what it returns, what it raises, or neither.
        self._flights: dict[K, list[asyncio.Future[tuple[V] | Exception | None]]] = {}

    def is_under_way(self, key: K) -> bool:
        """Whether there is a call for `key`."""
        return key in self._flights

    async def run(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """What `call` returns or raises, or the same of a call for `key` that is under way.

        If the task that made the call is cancelled, one of those that wait calls again.
        """
        while (waiting := self._flights.get(key)) is not None:
            told: asyncio.Future[tuple[V] | Exception | None]
            told = asyncio.get_running_loop().create_future()
            waiting.append(told)  # each has its own, so that one can be cancelled alone
            outcome = await told
            if isinstance(outcome, Exception):
                try:
                    raise outcome
                finally:
                    del outcome  # which refers to this frame
            if outcome is not None:
                return outcome[0]
        return await self._lead(key, call)

    async def _lead(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        self._flights[key] = []
        try:
            value = await call()
        except BaseException as error:
            self._tell(key, error if isinstance(error, Exception) else None)
            raise
        self._tell(key, (value,))
        return value

    def _tell(self, key: K, outcome: tuple[V] | Exception | None) -> None:
        for told in self._flights.pop(key):
            if not told.done():
                told.set_result(outcome)
