"""Cutting off what takes too long: providers end no call because of a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType

from proxy.ground.advice import TOO_LATE
from proxy.ground.errors import ProxyError, RequestTimedOut
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.xcontent.times import time_text


class Within:
    """So many seconds; a negative number stands for no limit. `late` makes the error."""

    def __init__(self, seconds: float, late: Callable[[float], ProxyError]) -> None:
        self._seconds = seconds
        self._late = late
        self._timeout = asyncio.timeout(None if seconds < 0 else seconds)

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        return Deadline.after(self._seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
            if isinstance(error, TimeoutError):
                raise error
        except TimeoutError:
            raise self._late(self._seconds) from None


def until(deadline: Deadline, inference_id: str) -> Within:
    """What is left of the time for calls of an endpoint; then RequestTimedOut."""
    left = -1.0 if deadline.at == NO_DEADLINE.at else max(0.0, round(deadline.seconds_left(), 2))
    return Within(left, partial(timed_out, inference_id))


def timed_out(inference_id: str, seconds: float) -> ProxyError:
    """The error of a call that was cut off after so many seconds."""
    text = f"Request timed out after [{time_text(seconds)}] for inference id [{inference_id}]"
    return RequestTimedOut(text).advised(TOO_LATE)
