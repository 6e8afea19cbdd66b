"""Signs of life in a stream while its provider says nothing.

Load balancers and browsers give a silent connection up after a minute or so, and a model can think
longer than that. The sign is a comment, which parsers of event streams skip; Elasticsearch sends
none, so they are off unless somebody wants them.
Source: the HTML standard, section 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proxy.ground.sse import HEARTBEAT


class Heartbeats:
    """Writes frames, and a comment whenever `interval` seconds have brought none; 0 is never."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], interval: float) -> None:
        self._write = write
        self._interval = interval
        self._clock = asyncio.get_running_loop().time
        self._last = self._clock()
        self._is_writing = False
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Heartbeats:
        if self._interval:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])

    async def write(self, frame: bytes) -> None:
        """Write a frame; a caller who reads slowly gets no comments on top."""
        self._is_writing = True
        try:
            await self._write(frame)
        finally:
            self._is_writing = False
            self._last = self._clock()

    async def _beat(self) -> None:
        try:
            while True:
                rest = self._last + self._interval - self._clock()
                if rest <= 0 and not self._is_writing:
                    await self.write(HEARTBEAT)
                await asyncio.sleep(rest if rest > 0 else self._interval)
        except ConnectionError:
            pass  # whoever writes the next frame finds out, too
