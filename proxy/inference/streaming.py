"""Answers that come as events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Stream(Generic[T]):
    """The events of an answer that has begun, as they come within this context, which ends it.

    Whoever gets one enters it at once: until then, nobody would end the answer.
    """

    def __init__(self, events: AsyncIterator[T], end: Callable[[], None]) -> None:
        self._events = events
        self._end = end

    def map(self, convert: Callable[[T], U]) -> Stream[U]:
        """The same, with each event converted."""
        return Stream(_Mapped(self._events, convert), self._end)

    def __enter__(self) -> AsyncIterator[T]:
        return self._events

    def __exit__(self, *_: object) -> None:
        self._end()


class _Mapped(AsyncIterator[U], Generic[T, U]):
    """Events, each converted. No generator, which costs more to begin with."""

    __slots__ = ("_convert", "_events")

    def __init__(self, events: AsyncIterator[T], convert: Callable[[T], U]) -> None:
        self._events = events
        self._convert = convert

    async def __anext__(self) -> U:
        return self._convert(await anext(self._events))
