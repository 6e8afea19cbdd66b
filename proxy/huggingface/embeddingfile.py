"""The file in which embeddings are kept: an SQLite database, used in one thread.

Nothing in it is needed: whatever is wrong with it means that less is found. Its rows are checked,
as a disk may give back something else than was written.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from proxy.config import ConfigError, refuse_other_writers
from proxy.ground.sqlitelog import write_ahead

APPLICATION: Final = 0x68664543  # "hfEC": marks databases of this module and this schema
_TABLE: Final = """
CREATE TABLE embeddings (
    key BLOB PRIMARY KEY, used INTEGER NOT NULL, checksum BLOB NOT NULL, value BLOB NOT NULL
)
"""
_CHECKSUM_BYTES: Final = 8
_KEYS_AT_ONCE: Final = 500  # in one statement
_HOUR: Final = 3600.0  # seconds; when a row was used is known to the hour, so that few are written
_DROPPED_AT_ONCE: Final = 32  # rows
_MOST_DROPS: Final = 100  # in one transaction, which others wait for
_PAGES_AT_ONCE: Final = 2000  # given back to the disk
_LOG_BYTES: Final = 4 * 1024 * 1024  # kept of the file of the log, once it has been read
_TIMEOUT: Final = 1.0  # seconds that another process may hold the lock


class Unusable(Exception):
    """The file is not what the proxy makes; the text says what is wrong."""


class EmbeddingFile:
    """Values by key, in a file of about `max_bytes`.

    All methods but `close` raise sqlite3.Error, OSError and Unusable.
    """

    def __init__(
        self, path: Path, max_bytes: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._used: set[bytes] = set()  # keys of rows whose time of use is old

    def open(self) -> None:
        """Make the file if it is missing. Does nothing if it is open."""
        if self._connection is not None:
            return
        self._make()
        connection = sqlite3.connect(self.path, timeout=_TIMEOUT, isolation_level=None)
        with ExitStack() as stack:
            stack.callback(connection.close)
            _make_table(connection)
            _write_ahead(connection)
            stack.pop_all()
        self._connection = connection

    def close(self) -> None:
        self._used.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is there for some of the keys; a row that is damaged is not."""
        found: dict[bytes, bytes] = {}
        old = self._hour() - 1
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            statement = f"SELECT key, used, checksum, value FROM embeddings WHERE key IN ({marks})"
            for row in self._opened().execute(statement, some):
                match row:  # SQLite lets any type be written to any column
                    case (bytes(key), int(used), bytes(checksum), bytes(value)) if (
                        checksum == _checksum(key, value)
                    ):
                        found[key] = value
                        if used < old:
                            self._used.add(key)
        return found

    def write(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep these, and drop what was not used for the longest time."""
        connection, hour = self._opened(), self._hour()
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back
            connection.executemany(
                "INSERT OR REPLACE INTO embeddings (key, used, checksum, value)"
                " VALUES (?, ?, ?, ?)",
                ((key, hour, _checksum(key, value), value) for key, value in items),
            )
            connection.executemany(
                "UPDATE embeddings SET used = ? WHERE key = ?", ((hour, key) for key in self._used)
            )
            self._make_room(connection)
        self._used.clear()
        if _number(connection, "page_count") * _number(connection, "page_size") > self._max_bytes:
            # No `execute`: it takes one step of this, which frees one page.
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")

    def _make(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its -wal and -shm files the mode of this one.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        found = folder.stat()
        try:
            if not found.st_mode & stat.S_ISVTX:  # else nobody can replace another's files
                refuse_other_writers("cache.file", folder, found)
            refuse_other_writers("cache.file", self.path, self.path.stat())
        except ConfigError as error:
            raise Unusable(str(error)) from None

    def _make_room(self, connection: sqlite3.Connection) -> None:
        size = _number(connection, "page_size")
        for _ in range(_MOST_DROPS):
            if self._used_pages(connection) * size <= self._max_bytes:
                return
            connection.execute(
                "DELETE FROM embeddings WHERE rowid IN"
                " (SELECT rowid FROM embeddings ORDER BY used, rowid LIMIT ?)",
                (_DROPPED_AT_ONCE,),
            )

    def _used_pages(self, connection: sqlite3.Connection) -> int:
        return _number(connection, "page_count") - _number(connection, "freelist_count")

    def _opened(self) -> sqlite3.Connection:
        self.open()
        assert self._connection is not None
        return self._connection

    def _hour(self) -> int:
        return int(self._clock() / _HOUR)


def _make_table(connection: sqlite3.Connection) -> None:
    """Make the table in a new database. Raises: Unusable for one of another program."""
    if _number(connection, "application_id") == APPLICATION:
        return
    # Only a database without tables takes this; it lets the file shrink.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")  # one process makes it
    with connection:
        if _number(connection, "application_id") == APPLICATION:
            return
        if connection.execute("SELECT 1 FROM sqlite_master").fetchall():
            raise Unusable("it is a database of another program, or of another proxy's version")
        connection.execute(_TABLE)
        connection.execute("CREATE INDEX embeddings_used ON embeddings (used)")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """A crash may cost what was kept last."""
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    if not write_ahead(connection, _TIMEOUT):
        raise Unusable("it lies where SQLite cannot share memory")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


def _checksum(key: bytes, value: bytes) -> bytes:
    """The checksum of a row. It covers the key, so that no row passes for that of another."""
    return hashlib.blake2b(value, key=key, digest_size=_CHECKSUM_BYTES).digest()
