"""A cache in front of the store, so that an inference costs no round trip to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from proxy.ground.errors import (
    EndpointNotFound,
    KeyMismatch,
    RecordRefused,
    StoreError,
    StoreMissing,
)
from proxy.ground.singleflight import SingleFlight
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ports import Change, EndpointStore, Known, Listing
from proxy.store.footprint import bytes_of_texts

MAX_BYTES: Final = 32 * 1024 * 1024  # of memory; about 10,000 endpoints of the usual size
MAX_STALENESS: Final = 3600.0  # seconds that an endpoint is used while the store cannot be
# A call that could use a stale endpoint waits this many seconds for the store, and if the store
# does not answer, such calls do not ask it again for a while.
PATIENCE: Final = 1.0
PAUSE: Final = 2.0
_OVERHEAD: Final = 2048  # bytes of the objects around an endpoint's texts


@dataclass(frozen=True, slots=True)
class _Entry:
    known: Known
    read_at: float  # when the store was asked, not when it had answered
    size: int  # bytes of memory


@dataclass(frozen=True, slots=True)
class _Read:
    """What the store answered."""

    known: Known | None  # None: there is no such endpoint
    asked_at: float


class CachedStore:
    """An EndpointStore that remembers the endpoints of another one for `freshness` seconds.

    Changes made through it are seen at once; those made by other processes may go unnoticed for
    that long. While the store cannot be used, or is missing altogether, an endpoint that was read
    up to `max_staleness` seconds ago is returned as stale. That an endpoint does not exist is never
    remembered.
    """

    def __init__(
        self,
        store: EndpointStore,
        freshness: float,
        *,
        max_staleness: float = MAX_STALENESS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._freshness = freshness
        self._max_staleness = max_staleness
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: dict[str, _Entry] = {}  # the one read longest ago first
        self._bytes = 0  # of all entries
        self._reads: SingleFlight[tuple[str, int, float | None], _Read] = SingleFlight()
        self._changes = 0  # made through this cache
        self._pause_ends = 0.0
        self.stale_answers = 0
        self.remembered_answers = 0
        self.reads = 0  # of the other store

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def get(self, inference_id: str) -> Known:
        now, entry = self._clock(), self._entries.get(inference_id)
        if entry is not None and now - entry.read_at < self._freshness:
            self.remembered_answers += 1
            return entry.known
        if entry is None or now - entry.read_at >= self._max_staleness:
            return await self._shared_read(inference_id)
        if now < self._pause_ends:
            return self._stale(entry)
        try:
            return await self._shared_read(inference_id, PATIENCE)
        except (KeyMismatch, RecordRefused):
            raise  # the record was changed: what is remembered must not be used either
        except StoreMissing:
            return self._stale(entry)
        except (StoreError, TimeoutError):
            self._pause_ends = self._clock() + PAUSE
            return self._stale(entry)

    def _stale(self, entry: _Entry) -> Known:
        self.stale_answers += 1
        return replace(entry.known, stale=True)

    async def find(self, task_type: TaskType | None = None) -> Listing:
        return await self._store.find(task_type)

    async def check(self) -> str | None:
        return await self._store.check()

    async def create(self, endpoint: InferenceEndpoint) -> None:
        with self._changing(endpoint.inference_id):
            await self._store.create(endpoint)

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        with self._changing(inference_id):
            return await self._store.update(inference_id, change)

    async def delete(self, inference_id: str) -> None:
        with self._changing(inference_id):
            try:
                await self._store.delete(inference_id)
            except StoreMissing:
                self._forget(inference_id)  # the caller wanted it deleted
                raise

    @contextmanager
    def _changing(self, inference_id: str) -> Iterator[None]:
        """Forget the endpoint after a change, whatever comes of it."""
        kept = None
        try:
            yield
        except (StoreError, StoreMissing):
            # It may have been done: what is remembered is fresh no more, but may be used as stale.
            if (entry := self._entries.get(inference_id)) is not None:
                aged = min(entry.read_at, self._clock() - self._freshness)
                kept = replace(entry, read_at=aged)
            raise
        finally:
            self._changes += 1
            self._forget(inference_id)
            if kept is not None:
                self._remember(kept)

    async def _shared_read(self, inference_id: str, patience: float | None = None) -> Known:
        # Calls that come after a change do not share a read that began before it.
        key = inference_id, self._changes, patience
        now = self._clock()
        while True:
            read = await self._reads.run(key, lambda: self._read(inference_id, patience))
            # A slow read that others began may tell what is no longer true for this call.
            if read.known is not None and read.asked_at >= now - self._freshness:
                return read.known
            if read.known is None and read.asked_at >= now:
                raise EndpointNotFound(inference_id)

    async def _read(self, inference_id: str, patience: float | None) -> _Read:
        asked_at, changes = self._clock(), self._changes
        self.reads += 1
        try:
            async with asyncio.timeout(patience):
                known = await self._store.get(inference_id)
        except StoreMissing:
            raise
        except EndpointNotFound:
            self._forget(inference_id)
            return _Read(None, asked_at)
        except (KeyMismatch, RecordRefused):
            self._forget(inference_id)
            raise
        if changes == self._changes:
            self._remember(_Entry(known, asked_at, size_of(known.endpoint)))
        return _Read(known, asked_at)

    def _remember(self, entry: _Entry) -> None:
        inference_id = entry.known.endpoint.inference_id
        self._forget(inference_id)  # to the end of the order
        self._entries[inference_id] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, inference_id: str) -> None:
        if (entry := self._entries.pop(inference_id, None)) is not None:
            self._bytes -= entry.size


def size_of(endpoint: InferenceEndpoint) -> int:
    """Bytes of memory that it takes in the cache."""
    return _OVERHEAD + bytes_of_texts(endpoint)
