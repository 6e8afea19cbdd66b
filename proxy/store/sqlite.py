"""Endpoints in an SQLite file: the embedded store, shared by the workers of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from proxy.config import ConfigError, StoreConfig
from proxy.endpoints import InferenceEndpoint, TaskType
from proxy.errors import EndpointAlreadyExists, EndpointNotFound, StoreError
from proxy.store import (
    MAX_ENDPOINTS,
    Change,
    StoreOverloaded,
    check_storable,
    is_storable,
    left_out,
)
from proxy.store.sealed import Keyring, Record, load_keyring, make_keyring, private_folder, tampered

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY, task_type TEXT NOT NULL, key_id TEXT NOT NULL, blob BLOB NOT NULL
) WITHOUT ROWID
"""
_COLUMNS: Final = "id, task_type, key_id, blob"


class SQLiteStore:
    """One connection in one thread of its own; the file's lock orders it against other processes.

    The encryption key, if none is configured, lies beside the file with `.key` added to its name.
    """

    def __init__(self, path: str | Path, config: StoreConfig) -> None:
        self._path = Path(path).expanduser().absolute()
        self._config = config
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._keys: Keyring | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="endpoint-store")
        try:
            await self._run(self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._thread is not None:
            await self._run(self._close)
            self._thread.shutdown()
            self._thread = None

    async def create(self, endpoint: InferenceEndpoint) -> None:
        check_storable(endpoint)
        await self._run(lambda: self._create(endpoint))

    async def get(self, inference_id: str) -> InferenceEndpoint:
        return await self._run(lambda: self._read(inference_id))

    async def find(self, task_type: TaskType | None = None) -> list[InferenceEndpoint]:
        endpoints, refused = await self._run(lambda: self._find(task_type))
        left_out.set(tuple(refused))
        return endpoints

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        return await self._run(lambda: self._update(inference_id, change))

    async def delete(self, inference_id: str) -> None:
        await self._run(lambda: self._delete(inference_id))

    async def _run(self, work: Callable[[], T]) -> T:
        """What `work` returns; once begun, it goes on to its end even if the caller leaves."""
        if self._thread is None:
            raise StoreError("The endpoint store is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # In the thread

    def _open(self) -> None:
        try:
            private_folder(self._path.parent)
            # SQLite gives its -wal and -shm files the mode of this one.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            if os.name == "posix" and self._path.stat().st_mode & 0o077:
                raise ConfigError(f"[{self._path}] must be its owner's alone: chmod 600")
        except OSError as error:
            raise ConfigError(f"cannot open [{self._path}]: {error.strerror}") from None
        generated = self._path.with_name(f"{self._path.name}.key")
        keys = load_keyring(self._config, generated)
        with _translated():
            self._connection = sqlite3.connect(
                self._path, timeout=self._config.timeout, isolation_level=None
            )
            self._write_ahead(self._connection)
            # An acknowledged change survives a crash of the machine.
            self._connection.execute("PRAGMA synchronous = FULL")
        with self._transaction() as connection:  # one process at a time makes tables and keys
            self._make_tables(connection)
            held = _held_keys(connection)
            keys = keys or make_keyring(generated, held, str(self._path))
            keys.check(held, str(self._path))
        self._keys = keys

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ConfigError(f"[{self._path}] was written by a newer proxy: upgrade this one")
        if version < SCHEMA_VERSION:
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log, for which SQLite waits for no lock by itself."""
        deadline = time.monotonic() + self._config.timeout
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise ConfigError(f"[{self._path}] lies where SQLite cannot share memory")
            return

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _create(self, endpoint: InferenceEndpoint) -> None:
        with self._transaction() as connection:
            self._keyring.check(_held_keys(connection), str(self._path))
            record = self._keyring.seal(endpoint)
            values = (record.inference_id, record.task_type, record.key_id, record.blob)
            try:
                connection.execute(
                    f"INSERT INTO endpoints ({_COLUMNS}) VALUES (?, ?, ?, ?)", values
                )
            except sqlite3.IntegrityError:
                raise EndpointAlreadyExists(endpoint.inference_id) from None

    def _read(self, inference_id: str) -> InferenceEndpoint:
        if not is_storable(inference_id):  # nor perhaps a text that SQLite takes
            raise EndpointNotFound(inference_id)
        with _translated():
            rows = self._opened_connection.execute(
                f"SELECT {_COLUMNS} FROM endpoints WHERE id = ?", (inference_id,)
            ).fetchall()
        if not rows:
            raise EndpointNotFound(inference_id)
        return self._keyring.open_(_record(*rows[0]))

    def _find(self, task_type: TaskType | None) -> tuple[list[InferenceEndpoint], list[str]]:
        with _translated():
            rows = self._opened_connection.execute(
                f"SELECT {_COLUMNS} FROM endpoints WHERE ?1 IS NULL OR task_type = ?1 "
                "ORDER BY id LIMIT ?2",
                (task_type, MAX_ENDPOINTS),
            ).fetchall()
        return self._keyring.open_all(_record(*row) for row in rows)

    def _update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        with self._transaction() as connection:
            changed = change(self._read(inference_id))
            record = self._keyring.seal(changed)
            connection.execute(
                "UPDATE endpoints SET task_type = ?, key_id = ?, blob = ? WHERE id = ?",
                (record.task_type, record.key_id, record.blob, inference_id),
            )
            return changed

    def _delete(self, inference_id: str) -> None:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        with self._transaction() as connection:
            done = connection.execute("DELETE FROM endpoints WHERE id = ?", (inference_id,))
            if not done.rowcount:
                raise EndpointNotFound(inference_id)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable change, or none; no other process writes meanwhile."""
        connection = self._opened_connection
        with _translated():
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                yield connection

    @property
    def _opened_connection(self) -> sqlite3.Connection:
        assert self._connection is not None  # `_open` comes before all else
        return self._connection

    @property
    def _keyring(self) -> Keyring:
        if self._keys is None:
            raise StoreError("The endpoint store could not be opened")
        return self._keys


def _record(*row: object) -> Record:
    """A row as it should be; SQLite would let anything be written into it."""
    match row:
        case (str(inference_id), str(task_type), str(key_id), bytes(blob)):
            return Record(inference_id=inference_id, task_type=task_type, key_id=key_id, blob=blob)
    raise tampered(str(row[0]))


def _held_keys(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT DISTINCT key_id FROM endpoints")}


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as StoreError; their texts name no contents, but none is quoted."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StoreOverloaded("The disk of the endpoint store is full") from None
        raise StoreError(f"The endpoint store cannot be used: {error.sqlite_errorname}") from None
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreError(f"The endpoint store cannot be used: {name}") from None
