"""Work that can wait, done a little in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

# Steps, for all connections together: each takes a few dozen microseconds, or leads to a read that
# does, and an inference takes some twenty turns.
PER_TURN: Final = 4

Step = Callable[[], None]


class Steps:
    """Steps of all connections, one after the other, PER_TURN in each turn of the loop.

    A step is put off again while there is more to do. So whoever sends what takes long to read, or
    to drop, delays others very little, however many connections it has.
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
        try:
            for _ in range(min(PER_TURN, len(self._waiting))):
                step, _ = self._waiting.popitem(last=False)
                step()
        finally:  # a step that fails costs the others nothing
            self._called = False
            self._go_on()
