"""What callers share while their texts are sent together: texts, and the calls that send them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

from proxy.ground.authorization import NOT_CONFIRMED, permission_held
from proxy.ground.lateness import Lateness
from proxy.huggingface.batching import Text
from proxy.limits.deadline import Deadline

T = TypeVar("T")


class Wanted(Generic[T]):
    """A text that has no result yet, and who waits for one."""

    __slots__ = ("call", "callers", "key", "text")

    def __init__(self, text: Text, key: tuple[str, bool]) -> None:
        self.text = text
        self.key = key  # by which it is found
        self.callers: dict[Caller[T], None] = {}  # in the order in which they came
        self.call: Call[T] | None = None  # the latest one in which it is

    @property
    def is_joined(self) -> bool:
        """Whether somebody wants it for whom its call was not made."""
        return self.call is not None and not self.callers.keys() <= self.call.made_for


class Caller(Generic[T]):
    """A request that waits, with those of its texts that are still to be sent."""

    __slots__ = (
        "calls",
        "context",
        "deadline",
        "done",
        "missing",
        "permission",
        "results",
        "texts",
    )

    def __init__(self, deadline: Deadline, done: asyncio.Future[None]) -> None:
        self.deadline = deadline
        self.permission = permission_held()
        self.context = copy_context()
        self.texts: deque[Wanted[T]] = deque()
        self.calls: set[SharedCall[T]] = set()  # that were made for it
        self.results: dict[Wanted[T], T | None] = {}
        self.missing = 0  # results
        self.done = done

    @property
    def is_served(self) -> bool:
        """Whether a text of it is sent, or to be sent, perhaps in vain."""
        return bool(self.texts) or not all(call.task.done() for call in self.calls)

    def take(self, wanted: Wanted[T], result: T) -> None:
        self.results[wanted] = result
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # seen, as the caller may leave without a look at it


class Call(Generic[T]):
    """A call, which has one of the places that an endpoint has for calls, unless it is late."""

    __slots__ = ("_timer", "has_place", "lateness", "made_for", "texts")

    def __init__(self, lateness: Lateness) -> None:
        self.lateness = lateness
        self.texts: list[Wanted[T]] = []
        self.made_for: set[Caller[T]] = set()  # those who share it, but for who joined it
        self.has_place = True
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wanted: Wanted[T]) -> None:
        wanted.call = self
        self.texts.append(wanted)

    def begin(self, seconds: float, is_late: Callable[[Call[T]], None]) -> None:
        """It is sent now, and late after so many seconds."""
        self._timer = asyncio.get_running_loop().call_later(seconds, is_late, self)

    def own(self, texts: Sequence[Wanted[T]]) -> list[Wanted[T]]:
        """Those that have no result, and are in no later call."""
        return [one for one in texts if one.call is self]

    def end(self) -> None:
        """Let go of texts and callers, which know each other."""
        if self._timer is not None:
            self._timer.cancel()
        self.texts = []
        self.made_for.clear()


class Changed(Exception):
    """A caller must not act any more, so what is sent has to be put together anew."""


class SharedCall(Call[T]):
    """A call that callers share; also the permission to make it, which is that of all of them."""

    __slots__ = ("_leave", "task")

    task: asyncio.Task[None]

    def __init__(self, leave: Callable[[Caller[T]], None]) -> None:
        super().__init__(Lateness())
        self._leave = leave

    def begin(self, seconds: float, is_late: Callable[[Call[T]], None]) -> None:
        """It is full, and made for those who want its texts now."""
        for caller in self.callers:
            self.made_for.add(caller)
            caller.calls.add(self)
        super().begin(seconds, is_late)

    def end(self) -> None:
        for caller in self.made_for:
            caller.calls.discard(self)
        super().end()

    @property
    def is_of_use(self) -> bool:
        """Whether somebody still waits for whom it was made."""
        return not self.made_for.isdisjoint(self.callers)

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
