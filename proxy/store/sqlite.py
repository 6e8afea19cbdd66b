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
from proxy.errors import (
    EndpointAlreadyExists,
    EndpointNotFound,
    StoreDamaged,
    StoreError,
    StoreOverloaded,
)
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import check_storable, is_storable
from proxy.inference.ports import MAX_ENDPOINTS, Change, Known, Listing
from proxy.store.keys import load_keyring, make_keyring
from proxy.store.ownerfiles import is_open_to_others, private_folder
from proxy.store.sealed import Keyring, Record

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY, task_type TEXT NOT NULL, key_id TEXT NOT NULL, blob BLOB NOT NULL
) WITHOUT ROWID
"""
_TYPES: Final = {"id": "TEXT", "task_type": "TEXT", "key_id": "TEXT", "blob": "BLOB"}
_COLUMNS: Final = ", ".join(_TYPES)
_BESIDE: Final = ("-wal", "-shm")  # what SQLite adds to the file's name
_NEWER: Final = "was written by a newer version of the proxy: upgrade this one"
_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_REMEDIES: Final = {
    "SQLITE_BUSY": "another process keeps it locked: end that one",
    "SQLITE_CANTOPEN": "it cannot be opened: check who owns it and its folder",
    "SQLITE_READONLY": "it must be writable by the proxy: check who owns it, and how its disk is "
    "mounted",
    "SQLITE_IOERR": "its disk fails: check it, and restart the proxy",
    "SQLITE_ERROR": "its tables are not as the proxy makes them: restore it from a backup",
}


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
        self._files: list[tuple[int, int]] | None = None  # what they were when it was opened

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
        check_storable(endpoint.inference_id)
        await self._run(lambda: self._create(endpoint))

    async def get(self, inference_id: str) -> Known:
        return Known(await self._run(lambda: self._read(inference_id)))

    async def find(self, task_type: TaskType | None = None) -> Listing:
        return await self._run(lambda: self._find(task_type))

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
            if is_open_to_others(self._path.stat().st_mode):
                raise ConfigError(f"[{self._path}] must be its owner's alone: chmod 600")
        except OSError as error:
            raise ConfigError(f"cannot open [{self._path}]: {error.strerror}") from None
        generated = self._path.with_name(f"{self._path.name}.key")
        keys = load_keyring(self._config, generated)
        with _translated():
            self._connection = sqlite3.connect(
                self._path, timeout=self._config.timeout, isolation_level=None
            )
            # Whatever bytes are in a row, the others can be read.
            self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
            self._check_tables(self._connection)
            self._write_ahead(self._connection)
            # An acknowledged change survives a crash of the machine.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._make_tables(self._connection)
        self._files = self._found_files()
        with self._transaction() as connection:  # one process at a time makes keys
            held = _held_keys(connection)
            keys = keys or make_keyring(generated, held, str(self._path))
            keys.check(held, str(self._path))
        self._keys = keys

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        """Raises: ConfigError for a database that is not ours, or a newer one; it is left alone."""
        connection.execute("BEGIN")
        with connection:
            version = _version(connection)
            if version > SCHEMA_VERSION:
                raise ConfigError(f"[{self._path}] {_NEWER}")
            wrong = ""
            if version == SCHEMA_VERSION:
                wrong = _wrong_columns(connection)
            elif connection.execute("SELECT 1 FROM sqlite_master").fetchall():
                wrong = "another program has made it"
            if wrong:
                raise ConfigError(
                    f"[{self._path}] is not as the proxy makes it: {wrong}. Set [store.kind] "
                    "to another file"
                )

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")  # one process at a time
        with connection:
            if _version(connection) < SCHEMA_VERSION:
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
        for row in self._select("WHERE id = ?", inference_id):
            return self._keyring.open_(_record(*row))
        raise EndpointNotFound(inference_id)

    def _find(self, task_type: TaskType | None) -> Listing:
        rows = self._select("ORDER BY id LIMIT ?", MAX_ENDPOINTS)
        return self._keyring.open_all((_record(*row) for row in rows), task_type)

    def _select(self, which: str, *values: object) -> list[tuple[object, ...]]:
        with _translated():
            self._check_file()
            statement = f"SELECT {_COLUMNS} FROM endpoints {which}"
            return self._opened_connection.execute(statement, values).fetchall()

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
                self._check_file()
                yield connection
            self._check_files()  # or nothing was done that lasts

    def _check_file(self) -> None:
        """Raises: StoreError for a file that is not what it was when it was opened."""
        self._check_files()
        if _version(self._opened_connection) > SCHEMA_VERSION:
            raise StoreDamaged(f"The file in [store.kind] {_NEWER}")

    def _check_files(self) -> None:
        """SQLite would go on writing to files that are no longer there, and never say so."""
        if self._found_files() != self._files:
            raise StoreError(
                f"The file in [store.kind], or one of [{', '.join(_BESIDE)}] beside it, was "
                "removed or replaced: put it back, and restart the proxy"
            )

    def _found_files(self) -> list[tuple[int, int]]:
        """Device and inode of the database, its log and its locks, of those that are there."""
        paths = [self._path.with_name(self._path.name + end) for end in ("", *_BESIDE)]
        stats = [path.stat() for path in paths if path.exists()]
        return [(found.st_dev, found.st_ino) for found in stats]

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
    """A row as a record, one that no key opens if it is not as it should be.

    SQLite would let anything be written into it.
    """
    match row:
        case (str(inference_id), str(task_type), str(key_id), bytes(blob)):
            return Record(inference_id=inference_id, task_type=task_type, key_id=key_id, blob=blob)
    return Record(inference_id=str(row[0]), task_type="", key_id="", blob=b"")


def _held_keys(connection: sqlite3.Connection) -> set[str]:
    """The ids of the keys that records are sealed with; a damaged one tells nothing of keys."""
    intact = "SELECT DISTINCT key_id FROM endpoints WHERE key_id = lower(hex(substr(blob, 2, 8)))"
    return {row[0] for row in connection.execute(intact)}


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _wrong_columns(connection: sqlite3.Connection) -> str:
    """How the table differs from ours, a text that is empty if it does not."""
    columns = connection.execute("SELECT name, type FROM pragma_table_info('endpoints')")
    found: dict[str, str] = dict(columns.fetchall())
    return ", ".join(
        f"the column [{name}] is [{found.get(name, 'missing')}], not [{kind}]"
        for name, kind in _TYPES.items()
        if found.get(name) != kind
    )


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as ours; their texts name no contents, but none is quoted."""
    try:
        yield
    except sqlite3.Error as error:
        # The name of the extended code, such as SQLITE_CORRUPT_INDEX.
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name == "SQLITE_FULL":
            raise StoreOverloaded(
                "The disk of the endpoint store is full: free space there",
                retry_after=30,
            ) from None
        if name.startswith(_DAMAGED):
            raise StoreDamaged(
                f"The file in [store.kind] is damaged ({name}): restore it from a backup, and "
                "restart the proxy"
            ) from None
        remedies = (text for start, text in _REMEDIES.items() if name.startswith(start))
        remedy = next(remedies, "check its disk, and restart the proxy")
        raise StoreError(f"The file in [store.kind] cannot be used ({name}): {remedy}") from None
