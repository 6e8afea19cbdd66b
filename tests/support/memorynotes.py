"""Notes in memory, for tests of what leaves some."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from proxy.ground.errors import StoreError


class MemoryNotes:
    """Notes that several parts may share; every use fails when told to."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.failure: StoreError | None = None
        self.writes = 0
        self._written = asyncio.Condition()

    async def write(self, name: str, content: Mapping[str, Any]) -> None:
        await self._pass()
        self.kept[name] = dict(content)
        await self._note()

    async def read(self, name: str) -> dict[str, Any] | None:
        await self._pass()
        return self.kept.get(name)

    async def change(
        self,
        name: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
        *,
        start: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        await self._pass()
        content = self.kept.get(name, start)
        if content is None:
            return None
        self.kept[name] = dict(change(dict(content)))
        await self._note()
        return self.kept[name]

    async def all(self) -> dict[str, dict[str, Any]]:
        await self._pass()
        return dict(self.kept)

    async def delete(self, name: str) -> None:
        await self._pass()
        self.kept.pop(name, None)

    async def written(self, times: int) -> None:
        """Wait until that much more has been written."""
        wanted = self.writes + times
        async with self._written:
            await self._written.wait_for(lambda: self.writes >= wanted)

    async def _note(self) -> None:
        async with self._written:
            self.writes += 1
            self._written.notify_all()

    async def _pass(self) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
