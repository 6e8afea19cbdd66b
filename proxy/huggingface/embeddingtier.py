"""The file of embeddings beside the event loop: nobody waits for what is written to it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Final, TypeVar

from proxy.huggingface.embeddingfile import EmbeddingFile, Unusable

T = TypeVar("T")
_AT_ONCE: Final = 1024 * 1024  # bytes of values in one transaction, which readers wait for
_MOST_WAITING: Final = 16 * 1024 * 1024  # bytes of values still to be written
_PAUSE: Final = 30.0  # seconds for which a file that has failed is left alone

log = logging.getLogger(__name__)


class FileTier:
    """A Tier in a file. Where that cannot be used, nothing is found in it, and a warning logged."""

    def __init__(self, file: EmbeddingFile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding-cache")
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._pause_ends = 0.0
        self._problem: str | None = None  # the last one that was logged

    async def open(self) -> None:
        """Make the file, so that a problem with it is told at once."""
        await self._run(self._file.open, None)

    async def close(self) -> None:
        """Write what is to be written, and close the file."""
        await self.written()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown()

    async def written(self) -> None:
        """Wait until all is written that was to be kept so far."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._run(partial(self._file.find, keys), {})

    def keep(self, key: bytes, value: bytes) -> None:
        """Keep it some time soon; but not what comes faster than the disk takes it."""
        if self._is_paused or self._waiting_bytes + len(value) > _MOST_WAITING:
            return
        self._waiting_bytes += len(value) - len(self._waiting.pop(key, b""))
        self._waiting[key] = value
        if self._writing is None:
            writing = asyncio.get_running_loop().create_task(self._write(), context=Context())
            writing.add_done_callback(self._has_written)
            self._writing = writing

    async def _write(self) -> None:
        """As long as anything waits: what comes meanwhile is written together."""
        while self._waiting:
            await self._run(partial(self._file.write, self._next()), None)

    def _has_written(self, _: asyncio.Task[None]) -> None:
        self._writing = None

    def _next(self) -> list[tuple[bytes, bytes]]:
        items: list[tuple[bytes, bytes]] = []
        size = 0
        while self._waiting and size < _AT_ONCE:
            key = next(iter(self._waiting))
            value = self._waiting.pop(key)
            items.append((key, value))
            size += len(value)
        self._waiting_bytes -= size
        return items

    @property
    def _is_paused(self) -> bool:
        return self._clock() < self._pause_ends

    async def _run(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` returns in the thread, or something else where the file cannot be used."""
        if self._is_paused:
            return otherwise
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, partial(self._done, work, otherwise)
        )

    # In the thread

    def _done(self, work: Callable[[], T], otherwise: T) -> T:
        if self._is_paused:  # it has failed since this began to wait
            return otherwise
        try:
            result = work()
        except (sqlite3.Error, OSError, Unusable) as error:
            self._failed(error)
            return otherwise
        self._problem = None
        return result

    def _failed(self, error: Exception) -> None:
        self._file.close()
        self._pause_ends = self._clock() + _PAUSE
        problem = _problem_of(error)
        if problem != self._problem:  # logged once, not every time
            log.warning(
                "[cache.file] [%s] cannot be used, and is left alone for a while: %s",
                self._file.path,
                problem,
            )
        self._problem = problem


def _problem_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return getattr(error, "sqlite_errorname", None) or str(error) or type(error).__name__
