"""The file of an SQLite store, read and changed by others than the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from proxy.store.sqlite import SQLiteStore
from tests.support.storeconformance import Stored


class StoredInSQLite(Stored):
    def __init__(self, path: Path) -> None:
        self._path = path

    async def raw(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._path.parent.glob("*.db*"))

    async def copy(self, source: str, target: str) -> None:
        row = self.run("SELECT task_type, key_id, blob FROM endpoints WHERE id = ?", source)[0]
        self.run(
            "UPDATE endpoints SET task_type = ?, key_id = ?, blob = ? WHERE id = ?", *row, target
        )

    async def rewrite(self, inference_id: str, **fields: object) -> None:
        for name, value in fields.items():
            self.run(f"UPDATE endpoints SET {name} = ? WHERE id = ?", value, inference_id)

    async def blob(self, inference_id: str) -> bytes:
        blob = self.run("SELECT blob FROM endpoints WHERE id = ?", inference_id)[0][0]
        assert isinstance(blob, bytes)
        return blob

    def run(self, statement: str, *values: object) -> list[Any]:
        """Execute a statement, as another process would; its rows."""
        return run(self._path, statement, *values)


def run(path: Path, statement: str, *values: object) -> list[Any]:
    """The same for the file at `path`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


async def set_pragma(store: SQLiteStore, pragma: str) -> None:
    """Set a pragma that applies to one connection, in the connection of the store."""
    await store._run(lambda: store._file.connection.execute(f"PRAGMA {pragma}"))
