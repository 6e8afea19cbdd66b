"""Threads for what would block the event loop: reading large bodies and replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
# Two only, because a body that is being read can take far more memory than is counted for it. The
# queue before them is bounded by the memory that bodies may take together: seconds of work at most.
_READERS: Final = ThreadPoolExecutor(2, thread_name_prefix="reader")


async def offload(size: int, at_most: int, read: Callable[[], T]) -> T:
    """The result of `read`, which has `size` bytes to read: in a thread if more than `at_most`."""
    if size <= at_most:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_READERS, read)
