"""Polling, for what sends no event: the state of another process."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.02  # seconds


def eventually(holds: Callable[[], bool], within: float = 15.0) -> None:
    """Poll until the condition holds. Raises: TimeoutError after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {within:g} s")
        time.sleep(PAUSE)
