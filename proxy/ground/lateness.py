"""What keeps a request waiting, for the error that it gets if its time ends meanwhile.

Most requests that run late wait for an answer, and are told so. One that waits for something else
should be told of that: an answer that nobody has asked for yet is not late.
"""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from proxy.ground.advice import TOO_LATE, Advice


class Lateness:
    """What a request waits for besides an answer, it and all tasks that work for it."""

    __slots__ = ("waits",)

    def __init__(self) -> None:
        self.waits: list[Advice] = []  # the latest one at the end

    @property
    def advice(self) -> Advice:
        """For the error, if its time ended now."""
        return self.waits[-1] if self.waits else TOO_LATE


_lateness: Final[ContextVar[Lateness | None]] = ContextVar("lateness", default=None)


def begin(lateness: Lateness) -> None:
    """From now on this context works for the request that it is of."""
    _lateness.set(lateness)


def current() -> Lateness:
    """That of the request for which this context works."""
    return _lateness.get() or Lateness()


def advice_when_late() -> Advice:
    """For a request of this context whose time has ended."""
    return current().advice


class HeldUp:
    """Something else is waited for within; it stays known where that ends the request."""

    __slots__ = ("_advice", "_waits")

    def __init__(self, advice: Advice | None) -> None:
        self._advice = advice
        self._waits = current().waits

    def __enter__(self) -> None:
        if self._advice is not None:
            self._waits.append(self._advice)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_ended = kind is not None and issubclass(kind, CancelledError)
        if self._advice is not None and not is_ended:
            self._waits.remove(self._advice)
