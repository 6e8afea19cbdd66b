"""The SQLite store, looked at without a change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proxy.config import StoreConfig
from proxy.store.keys import key_beside
from proxy.store.ownerfiles import check_can_be_made
from proxy.store.sealed import Record
from proxy.store.sqlite import records
from proxy.store.sqlite.file import DatabaseFile, located


class SQLiteInspection:
    """An Inspection of the file."""

    def __init__(self, path: str, config: StoreConfig) -> None:
        self._file = DatabaseFile(located(path), config.timeout)
        self.place = str(self._file.path)
        self.what = f"the file [{self.place}]"
        self.generated = key_beside(self._file.path)

    def open(self) -> None:
        """Each look opens the file for itself."""

    async def rights(self) -> Mapping[str, bool]:
        return {}

    async def records(self) -> list[Record] | None:
        return await asyncio.to_thread(self._records)

    async def close(self) -> None:
        """Nothing is kept open."""

    def _records(self) -> list[Record] | None:
        if not self._file.path.exists():
            check_can_be_made("store.kind", self._file.path)
            return None
        self._file.make()  # which only checks it, as it is there
        try:
            return self._read() if self._file.open_to_look() else None
        finally:
            self._file.close()

    def _read(self) -> list[Record]:
        found = page = records.page(self._file)
        while len(page) == records.PAGE:
            page = records.page(self._file, page[-1].inference_id)
            found = found + page
        return found
