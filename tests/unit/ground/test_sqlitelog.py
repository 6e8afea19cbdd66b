"""SQLite's write-ahead log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proxy.ground.sqlitelog import write_ahead


def connected(path: Path | str) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, timeout=0, isolation_level=None))


def test_a_file_is_switched_to_it(tmp_path: Path):
    path = tmp_path / "a.db"
    with connected(path) as connection:
        assert write_ahead(connection, 0)
        assert write_ahead(connection, 0)
    with connected(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_where_memory_cannot_be_shared_it_is_not():
    with connected(":memory:") as connection:
        assert not write_ahead(connection, 0)


def test_a_lock_that_is_not_to_be_had_is_an_error(tmp_path: Path):
    path = tmp_path / "a.db"
    with connected(path) as holder, connected(path) as connection:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(connection, -1)
