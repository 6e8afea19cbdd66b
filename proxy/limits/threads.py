"""Large reads, done beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
# Few threads: a body that is being read can take far more memory than is counted. What waits for
# them is bounded by what bodies may take of the memory together: seconds of work at most.
_BESIDE: Final = ThreadPoolExecutor(2, thread_name_prefix="reader")


async def offload(size: int, at_most: int, read: Callable[[], T]) -> T:
    """What `read` makes of `size` bytes, beside the event loop if they are more than `at_most`."""
    if size <= at_most:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, read)
