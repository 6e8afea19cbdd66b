"""Notes as rows of a table beside that of the endpoints, sealed like them."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from proxy.store.sealed import NOTE, Keyring, Record
from proxy.store.sqlite.file import DatabaseFile

T = TypeVar("T")


class Run(Protocol):
    """Does work in the thread of the file."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class SQLiteNotes:
    """What proxies that share the file tell each other: see Notes."""

    def __init__(self, file: DatabaseFile, run: Run, keys: Callable[[], Keyring]) -> None:
        self._file = file
        self._run = run
        self._keys = keys

    async def write(self, name: str, content: Mapping[str, Any]) -> None:
        await self._run(lambda: self._write(name, content))

    async def read(self, name: str) -> dict[str, Any] | None:
        return await self._run(lambda: self._read(name))

    async def change(
        self,
        name: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
        *,
        start: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        return await self._run(lambda: self._change(name, change, start))

    async def all(self) -> dict[str, dict[str, Any]]:
        return await self._run(self._all)

    async def delete(self, name: str) -> None:
        await self._run(lambda: self._delete(name))

    # In the thread

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with self._file.transaction() as connection:
            self._put(connection, name, content)

    def _put(self, connection: sqlite3.Connection, name: str, content: Mapping[str, Any]) -> None:
        record = self._keys().seal_note(name, content)
        connection.execute(
            "INSERT OR REPLACE INTO notes (name, key_id, blob) VALUES (?, ?, ?)",
            (name, record.key_id, record.blob),
        )

    def _read(self, name: str) -> dict[str, Any] | None:
        rows = self._file.select("SELECT name, key_id, blob FROM notes WHERE name = ?", name)
        return self._opened(rows).get(name)

    def _change(
        self,
        name: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
        start: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        with self._file.transaction() as connection:
            content = self._read(name)
            if content is None:
                if start is None:
                    return None
                content = dict(start)
            changed = dict(change(content))
            self._put(connection, name, changed)
            return changed

    def _all(self) -> dict[str, dict[str, Any]]:
        return self._opened(self._file.select("SELECT name, key_id, blob FROM notes"))

    def _delete(self, name: str) -> None:
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM notes WHERE name = ?", (name,))

    def _opened(self, rows: list[tuple[object, ...]]) -> dict[str, dict[str, Any]]:
        found = {}
        for row in rows:
            match row:  # SQLite lets any type be written to any column
                case (str(name), str(key_id), bytes(blob)):
                    record = Record(inference_id=name, task_type=NOTE, key_id=key_id, blob=blob)
                    content = self._keys().open_note(record)
                    if content is not None:
                        found[name] = content
        return found
