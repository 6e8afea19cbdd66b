"""Waiting for what tells nobody when it comes about: the state of another process."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.02  # seconds between two looks


def eventually(holds: Callable[[], bool], within: float = 15.0) -> None:
    """Look until it holds. Raises: TimeoutError after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it has not come about within {within:g} s")
        time.sleep(PAUSE)
