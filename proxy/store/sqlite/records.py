"""Records as rows of the SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from proxy.ground.errors import EndpointAlreadyExists, EndpointNotFound
from proxy.inference.ids import is_storable
from proxy.inference.ports import SAMPLE
from proxy.store.sealed import Record
from proxy.store.sqlite.file import DatabaseFile
from proxy.store.sqlite.schema import COLUMNS

PAGE: Final = 50  # records
_COLUMNS: Final = ", ".join(COLUMNS)
_MAX_SAMPLE: Final = 1000


def read(file: DatabaseFile, inference_id: str) -> Record:
    """Raises: EndpointNotFound; StoreError."""
    if is_storable(inference_id):  # SQLite does not take every text
        for row in file.select(f"SELECT {_COLUMNS} FROM endpoints WHERE id = ?", inference_id):
            return _record(*row)
    raise EndpointNotFound(inference_id)


def page(file: DatabaseFile, after: str = "") -> list[Record]:
    """The next records by id; fewer than PAGE are the last. Raises: StoreError."""
    statement = (
        f"SELECT {_COLUMNS} FROM endpoints WHERE id > ? AND typeof(id) = 'text' ORDER BY id LIMIT ?"
    )
    return [_record(*row) for row in file.select(statement, after, PAGE)]


def sample(file: DatabaseFile) -> Iterator[Record]:
    """Some records of each key. Raises: StoreError."""
    numbered = (
        f"SELECT {_COLUMNS}, row_number() OVER (PARTITION BY key_id ORDER BY id) AS n "
        "FROM endpoints"
    )
    statement = f"SELECT {_COLUMNS} FROM ({numbered}) WHERE n <= ? LIMIT ?"
    return (_record(*row) for row in file.select(statement, SAMPLE, _MAX_SAMPLE))


def _record(*row: object) -> Record:
    """A row as a record; as one that no key opens if its values have the wrong types.

    SQLite lets any type be written to any column.
    """
    match row:
        case (str(inference_id), str(task_type), str(key_id), bytes(blob)):
            return Record(inference_id=inference_id, task_type=task_type, key_id=key_id, blob=blob)
    return Record(inference_id=str(row[0]), task_type="", key_id="", blob=b"")


# In a transaction


def insert(connection: sqlite3.Connection, record: Record) -> None:
    """Raises: EndpointAlreadyExists."""
    try:
        connection.execute(
            f"INSERT INTO endpoints ({_COLUMNS}) VALUES (?, ?, ?, ?)",
            (record.inference_id, record.task_type, record.key_id, record.blob),
        )
    except sqlite3.IntegrityError:
        raise EndpointAlreadyExists(record.inference_id) from None


def replace(connection: sqlite3.Connection, record: Record) -> None:
    connection.execute(
        "UPDATE endpoints SET task_type = ?, key_id = ?, blob = ? WHERE id = ?",
        (record.task_type, record.key_id, record.blob, record.inference_id),
    )


def delete(connection: sqlite3.Connection, inference_id: str) -> None:
    """Raises: EndpointNotFound."""
    done = connection.execute("DELETE FROM endpoints WHERE id = ?", (inference_id,))
    if not done.rowcount:
        raise EndpointNotFound(inference_id)


def of_keys(connection: sqlite3.Connection, key_ids: Sequence[str]) -> Iterator[Record]:
    """The records that say of themselves that one of these keys opens them."""
    marks = ", ".join("?" * len(key_ids))
    statement = f"SELECT {_COLUMNS} FROM endpoints WHERE key_id IN ({marks})"
    return (_record(*row) for row in connection.execute(statement, key_ids))


def key_ids(connection: sqlite3.Connection) -> set[str]:
    """The ids of the keys that the records are sealed with.

    A record whose blob and `key_id` disagree is damaged, and no sign of a key.
    """
    intact = "SELECT DISTINCT key_id FROM endpoints WHERE key_id = lower(hex(substr(blob, 2, 8)))"
    return {row[0] for row in connection.execute(intact)}
