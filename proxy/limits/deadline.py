"""When requests run out of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_CLOCKS_DIFFER: Final = 0.05  # seconds between the event loop's time and that of deadlines


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of the time that a request may take, as `time.monotonic` tells it."""

    at: float

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """So many seconds from now; a negative number stands for no limit."""
        return cls(clock() + seconds) if seconds >= 0 else NO_DEADLINE

    def seconds_left(self, clock: Callable[[], float] = time.monotonic) -> float:
        """Negative once it has passed, infinite where there is no limit."""
        return self.at - clock()

    @property
    def has_come(self) -> bool:
        """Whether what ends now may end because of it."""
        return self.seconds_left() < _CLOCKS_DIFFER


NO_DEADLINE: Final = Deadline(math.inf)
