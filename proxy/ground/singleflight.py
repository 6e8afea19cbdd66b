"""Concurrent calls for the same thing, made only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a call has raised, and from where: everyone who raises it adds frames of their own."""

    error: Exception
    traceback: TracebackType | None


class SingleFlight(Generic[K, V]):
    """Calls by key; whoever arrives while one is under way waits for its outcome."""

    def __init__(self) -> None:
        # For each call, those who wait: they get what it returns, what it raises, or neither.
        self._flights: dict[K, list[asyncio.Future[tuple[V] | _Failure | None]]] = {}

    def is_under_way(self, key: K) -> bool:
        """Whether there is a call for `key`."""
        return key in self._flights

    async def run(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """What `call` returns or raises, or the same of a call for `key` that is under way.

        If the task that made the call is cancelled, one of those that wait calls again.
        """
        while key in self._flights:
            outcome = await self._told(key)  # no variable: a future refers to its error, too
            if isinstance(outcome, _Failure):
                try:
                    raise outcome.error.with_traceback(outcome.traceback)
                finally:
                    del outcome  # whose error refers to this frame
            if outcome is not None:
                return outcome[0]
        return await self._lead(key, call)

    def _told(self, key: K) -> asyncio.Future[tuple[V] | _Failure | None]:
        told: asyncio.Future[tuple[V] | _Failure | None]
        told = asyncio.get_running_loop().create_future()
        self._flights[key].append(told)  # each has its own, so that one can be cancelled alone
        return told

    async def _lead(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        self._flights[key] = []
        try:
            value = await call()
        except Exception as error:
            self._tell(key, _Failure(error, error.__traceback__))
            raise
        except BaseException:
            self._tell(key, None)
            raise
        self._tell(key, (value,))
        return value

    def _tell(self, key: K, outcome: tuple[V] | _Failure | None) -> None:
        for told in self._flights.pop(key):
            if not told.done():
                told.set_result(outcome)
