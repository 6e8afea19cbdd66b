"""SQLite's errors as errors of the store: each names the cause and the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.ground.errors import StoreDamaged, StoreError, StoreOverloaded

_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_REMEDIES: Final = {
    "SQLITE_BUSY": "another process keeps it locked: end that one",
    "SQLITE_CANTOPEN": "it cannot be opened: check who owns it and its folder",
    "SQLITE_READONLY": "it must be writable by the proxy: check who owns it, and how its disk is "
    "mounted",
    "SQLITE_IOERR": "its disk fails: check it, and restart the proxy",
    "SQLITE_ERROR": "its tables are not as the proxy makes them: restore it from a backup",
}


@contextmanager
def translated() -> Iterator[None]:
    """Raises: StoreError for every error of SQLite, without its text."""
    try:
        yield
    except sqlite3.Error as error:
        raise _failure(error) from None


def _failure(error: sqlite3.Error) -> StoreError:
    # The name of the extended code, such as SQLITE_CORRUPT_INDEX.
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name == "SQLITE_FULL":
        return StoreOverloaded(
            "The disk of the endpoint store is full: free space there", retry_after=30
        )
    if name.startswith(_DAMAGED):
        return StoreDamaged(
            f"The file in [store.kind] is damaged ({name}): restore it from a backup, and "
            "restart the proxy"
        )
    remedies = (text for start, text in _REMEDIES.items() if name.startswith(start))
    remedy = next(remedies, "check its disk, and restart the proxy")
    return StoreError(f"The file in [store.kind] cannot be used ({name}): {remedy}")
