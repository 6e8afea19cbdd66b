"""Cutting off what takes too long: providers end no call because of a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType

from proxy.ground.errors import ProxyError, RequestTimedOut
from proxy.ground.lateness import advice_when_late
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.xcontent.times import time_text


class Within:
    """Cuts off what is done within after so many seconds; a negative number stands for no limit.

    `late` makes the error. It is an `asyncio.timeout` that costs half as much, as every request
    that waits for a provider enters one.
    """

    __slots__ = ("_cancelling", "_expired", "_late", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float, late: Callable[[float], ProxyError]) -> None:
        self._seconds = seconds
        self._late = late
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    def __enter__(self) -> Deadline:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()  # by others
        if self._seconds >= 0:
            self._timer = loop.call_later(self._seconds, self._expire)
        return Deadline.after(self._seconds)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        is_ours = self._expired and self._task.uncancel() <= self._cancelling
        if isinstance(error, TimeoutError) or (is_ours and kind is asyncio.CancelledError):
            raise self._late(self._seconds) from None


def until(deadline: Deadline, inference_id: str) -> Within:
    """Cuts calls of an endpoint off at the deadline. Raises: RequestTimedOut."""
    left = -1.0 if deadline.at == NO_DEADLINE.at else max(0.0, round(deadline.seconds_left(), 2))
    return Within(left, partial(timed_out, inference_id))


def timed_out(inference_id: str, seconds: float) -> ProxyError:
    """The error of a call that was cut off after so many seconds."""
    text = f"Request timed out after [{time_text(seconds)}] for inference id [{inference_id}]"
    return RequestTimedOut(text).advised(advice_when_late())
