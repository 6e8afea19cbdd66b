"""What callers share while their texts are sent together: texts, calls, and places for these."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from proxy.ground.authorization import NOT_CONFIRMED, permission_held
from proxy.ground.lateness import Lateness
from proxy.huggingface.batching import Text
from proxy.limits.deadline import Deadline

T = TypeVar("T")


class Wanted(Generic[T]):
    """A text that has no result yet, and who waits for one."""

    __slots__ = ("call", "callers", "key", "place", "text")

    def __init__(self, text: Text, key: tuple[str, bool]) -> None:
        self.text = text
        self.key = key  # by which it is found
        self.callers: dict[Caller[T], None] = {}  # in the order in which they came
        self.call: SharedCall[T] | None = None  # the shared one in which it is
        self.place: Place | None = None  # of the call in which it is


class Caller(Generic[T]):
    """A request that waits, with those of its texts that are still to be sent."""

    __slots__ = ("context", "deadline", "done", "missing", "permission", "results", "texts")

    def __init__(self, deadline: Deadline, done: asyncio.Future[None]) -> None:
        self.deadline = deadline
        self.permission = permission_held()
        self.context = copy_context()
        self.texts: deque[Wanted[T]] = deque()
        self.results: dict[Wanted[T], T | None] = {}
        self.missing = 0  # results
        self.done = done

    def take(self, wanted: Wanted[T], result: T) -> None:
        self.results[wanted] = result
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # seen, as the caller may leave without a look at it


class Changed(Exception):
    """A caller must not act any more, so what is sent has to be put together anew."""


class SharedCall(Generic[T]):
    """A call that callers share; also the permission to make it, which is that of all of them."""

    task: asyncio.Task[None]

    def __init__(self, place: Place, leave: Callable[[Caller[T]], None]) -> None:
        self.place = place
        self._leave = leave
        self.texts: list[Wanted[T]] = []
        self._made_for: set[Caller[T]] = set()

    def note_callers(self) -> None:
        """It is full, and made for those who want its texts now."""
        self._made_for.update(self.callers)

    def forget(self) -> None:
        """It has ended: let go of texts and callers, which know each other."""
        self.texts = []
        self._made_for.clear()

    @property
    def is_of_use(self) -> bool:
        """Whether somebody still waits for whom it was made."""
        return not self._made_for.isdisjoint(self.callers)

    @property
    def callers(self) -> list[Caller[T]]:
        return list(dict.fromkeys([caller for wanted in self.texts for caller in wanted.callers]))

    @property
    def is_due(self) -> bool:
        return True  # `confirm` asks for each

    async def confirm(self) -> None:
        """Raises: Changed where somebody may not act any more, who is told so."""
        changed = False
        for caller in self.callers:
            if caller.permission is None or not caller.permission.is_due:
                continue
            try:
                await caller.permission.confirm()
            except NOT_CONFIRMED as error:
                caller.fail(error)
                self._leave(caller)
                changed = True
        if changed:
            raise Changed

    async def confirm_stream(self) -> None:
        await self.confirm()


class Place:
    """That of a call among those that an endpoint may have, left after so many seconds at most."""

    __slots__ = ("is_held", "lateness", "timer")

    def __init__(self, lateness: Lateness, seconds: float, leave: Callable[[Place], None]) -> None:
        self.lateness = lateness  # of the call
        self.is_held = True
        self.timer = asyncio.get_running_loop().call_later(seconds, leave, self)
