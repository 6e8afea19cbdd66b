"""SQLite's write-ahead log, with which readers and a writer do not wait for each other."""

from __future__ import annotations

import sqlite3
import time


def write_ahead(connection: sqlite3.Connection, timeout: float) -> bool:
    """Switch to the write-ahead log; False where the file lies where memory cannot be shared.

    SQLite does not wait for the lock that this needs.
    Raises: sqlite3.OperationalError where that is not to be had for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        return bool(mode == "wal")
