"""Log lines of which there could be thousands: the first at once, then a count each minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final, Protocol

INTERVAL: Final = 60.0  # seconds
Report = Callable[[int], None]  # logs a line: for 0 the first, else for so many more since the last


class Later(Protocol):
    """Calls a function with one argument after some seconds."""

    def __call__(self, delay: float, call: Callable[[Hashable], None], kind: Hashable, /) -> object:
        """As `loop.call_later`."""


class Storms:
    """Reports events by kind. A kind is forgotten after a minute in which it did not happen."""

    def __init__(self, later: Later | None = None) -> None:
        self._later = later or _call_later
        self._counts: dict[Hashable, int] = {}  # since the last report
        self._reports: dict[Hashable, Report] = {}  # of the last event

    def happened(self, kind: Hashable, report: Report) -> None:
        """One more event: `report` is called at once, or with the others at the minute's end."""
        if kind in self._counts:
            self._counts[kind] += 1
            self._reports[kind] = report
        else:
            self._counts[kind] = 0
            report(0)
            self._later(INTERVAL, self._end_minute, kind)

    def _end_minute(self, kind: Hashable) -> None:
        if count := self._counts.pop(kind):
            self._reports.pop(kind)(count)
            self._counts[kind] = 0
            self._later(INTERVAL, self._end_minute, kind)


def _call_later(delay: float, call: Callable[[Hashable], None], kind: Hashable, /) -> object:
    return asyncio.get_running_loop().call_later(delay, call, kind)
