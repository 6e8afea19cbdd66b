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
        return Stream((convert(event) async for event in self._events), self._end)

    def __enter__(self) -> AsyncIterator[T]:
        return self._events

    def __exit__(self, *_: object) -> None:
        self._end()
