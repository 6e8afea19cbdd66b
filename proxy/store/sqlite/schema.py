"""The tables of the SQLite store, and whether a database has that of endpoints."""

from __future__ import annotations

import sqlite3
from typing import Final

VERSION: Final = 1
COLUMNS: Final = {"id": "TEXT", "task_type": "TEXT", "key_id": "TEXT", "blob": "BLOB"}
# Was not there at first: a proxy that does not know it leaves it alone.
_CREATE_NOTES: Final = """
CREATE TABLE IF NOT EXISTS notes (
    name TEXT PRIMARY KEY, key_id TEXT NOT NULL, blob BLOB NOT NULL
) WITHOUT ROWID
"""
_CREATE: Final = """
CREATE TABLE endpoints (
    id TEXT PRIMARY KEY, task_type TEXT NOT NULL, key_id TEXT NOT NULL, blob BLOB NOT NULL
) WITHOUT ROWID
"""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the schema; 0 for a new database, or one of another program."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def difference(connection: sqlite3.Connection) -> str:
    """How a database that is not new differs from what the proxy makes; empty if it does not."""
    if version_of(connection) != VERSION:
        made = connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        return "another program has made it" if made else ""
    columns = connection.execute("SELECT name, type FROM pragma_table_info('endpoints')")
    found: dict[str, str] = dict(columns.fetchall())
    return ", ".join(
        f"the column [{name}] is [{found.get(name, 'missing')}], not [{kind}]"
        for name, kind in COLUMNS.items()
        if found.get(name) != kind
    )


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing; the caller has begun a transaction."""
    if version_of(connection) < VERSION:
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(_CREATE_NOTES)
