"""The file of the SQLite store: opened with care, and watched for being replaced."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.config import ConfigError, refuse_other_writers
from proxy.ground.errors import StoreDamaged, StoreError
from proxy.ground.sqlitelog import write_ahead
from proxy.store.ownerfiles import private_folder
from proxy.store.sqlite import schema
from proxy.store.sqlite.failures import translated

_SUFFIXES: Final = ("-wal", "-shm")  # of the files that SQLite keeps beside the database
_NEWER: Final = "was written by a newer version of the proxy: upgrade this one"


def located(path: str | Path) -> Path:
    """The file that [store.kind] names."""
    return Path(path).expanduser().absolute()


class DatabaseFile:
    """A database in write-ahead mode, for use in one thread.

    Its lock orders it against other processes; each waits for it up to `timeout` seconds.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._opened_files: list[tuple[int, int]] | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        assert self._connection is not None  # `open` comes first
        return self._connection

    def make(self) -> None:
        """Make the file if there is none. Raises: ConfigError if it cannot be used."""
        try:
            private_folder("store.kind", self.path.parent)
            # SQLite gives its -wal and -shm files the mode of this one.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            refuse_other_writers("store.kind", self.path, self.path.stat())
        except OSError as error:
            raise ConfigError(f"cannot open [{self.path}]: {error.strerror}") from None

    def open(self) -> None:
        """Connect to the database, and make its tables if it is new.

        Raises: ConfigError for a database that is not the store's, which is left alone; StoreError.
        """
        with translated():
            self._connection = connection = sqlite3.connect(
                self.path, timeout=self._timeout, isolation_level=None
            )
            # Bytes that are no UTF-8 must not keep other rows from being read.
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            self._check_tables(connection)
            if not write_ahead(connection, self._timeout):
                raise ConfigError(f"[{self.path}] lies where SQLite cannot share memory")
            # An acknowledged change survives a crash of the machine.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")  # one process makes the table
            with connection:
                schema.create_tables(connection)
        self._opened_files = self._found_files()

    def open_to_look(self) -> bool:
        """Connect to a database that exists, and change nothing; whether it has tables yet.

        Raises: as `open`.
        """
        # Where no other process has it open, SQLite would make the files beside it.
        is_alone = not self.path.with_name(self.path.name + _SUFFIXES[0]).exists()
        parameters = "mode=ro&immutable=1" if is_alone else "mode=ro"
        with translated():
            self._connection = connection = sqlite3.connect(
                f"{self.path.as_uri()}?{parameters}",
                uri=True,
                timeout=self._timeout,
                isolation_level=None,
            )
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            self._check_tables(connection)
            self._opened_files = self._found_files()
            return schema.version_of(connection) == schema.VERSION

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable change, or none; no other process writes meanwhile.

        Raises: StoreError for what SQLite raises, and if the file is not the one that was opened.
        """
        connection = self.connection
        with translated():
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                self._check()
                yield connection
            self._check_files()  # what went to a file that has been removed does not last

    def select(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """All rows. Raises: StoreError, as `transaction` does."""
        with translated():
            self._check()
            return self.connection.execute(statement, values).fetchall()

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        """Raises: ConfigError for a database of another program or of a newer proxy."""
        connection.execute("BEGIN")
        with connection:
            if schema.version_of(connection) > schema.VERSION:
                raise ConfigError(f"[{self.path}] {_NEWER}")
            if difference := schema.difference(connection):
                raise ConfigError(
                    f"[{self.path}] is not as the proxy makes it: {difference}. Set [store.kind] "
                    "to another file"
                )

    def _check(self) -> None:
        self._check_files()
        if schema.version_of(self.connection) > schema.VERSION:
            raise StoreDamaged(f"The file in [store.kind] {_NEWER}")

    def _check_files(self) -> None:
        """SQLite would go on writing to files that have been removed, and never say so."""
        if self._found_files() != self._opened_files:
            raise StoreError(
                f"The file in [store.kind], or one of [{', '.join(_SUFFIXES)}] beside it, was "
                "removed or replaced: put it back, and restart the proxy"
            )

    def _found_files(self) -> list[tuple[int, int]]:
        """Device and inode of the database, its log and its locks, as far as they exist."""
        paths = [self.path.with_name(self.path.name + suffix) for suffix in ("", *_SUFFIXES)]
        stats = [path.stat() for path in paths if path.exists()]
        return [(found.st_dev, found.st_ino) for found in stats]
