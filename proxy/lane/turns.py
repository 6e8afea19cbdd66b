"""Work that can wait, done a little in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

TURN: Final = 0.003  # seconds of each turn of the loop, for all that waits together

Step = Callable[[], None]


class Turns:
    """Steps of all connections, one after the other, as many in each turn of the loop as fit in.

    A step takes a few dozen microseconds, and is put off again while there is more to do. So whoever
    sends what takes long to read delays others by TURN at most, however many connections it has.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Step, None] = OrderedDict()  # a step waits once at most
        self._called = False  # whether the loop is going to call `_run`

    def put_off(self, step: Step) -> None:
        """Take a step when it is its turn, which is behind all that wait already."""
        self._waiting[step] = None
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        end = monotonic() + TURN
        try:
            while self._waiting:
                step, _ = self._waiting.popitem(last=False)
                step()
                if monotonic() >= end:
                    break
        finally:  # a step that fails costs the others nothing
            self._called = False
            self._go_on()
