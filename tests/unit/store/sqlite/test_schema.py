"""The tables of the store, and databases that have others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from proxy.store.sqlite import schema


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


def test_a_new_database_gets_its_tables_once(connection: sqlite3.Connection):
    assert schema.version_of(connection) == 0
    assert schema.difference(connection) == ""
    for _ in range(2):
        schema.create_tables(connection)
        assert schema.version_of(connection) == schema.VERSION
        assert schema.difference(connection) == ""


def test_notes_are_added_to_a_database_without_them(connection: sqlite3.Connection):
    schema.create_tables(connection)
    connection.execute("DROP TABLE notes")
    assert schema.difference(connection) == ""
    schema.create_tables(connection)
    assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_a_database_of_another_program_is_told(connection: sqlite3.Connection):
    connection.execute("CREATE TABLE endpoints (id TEXT)")
    assert schema.difference(connection) == "another program has made it"


def test_columns_that_somebody_changed_are_told(connection: sqlite3.Connection):
    connection.execute("CREATE TABLE endpoints (id TEXT, task_type INTEGER, key_id TEXT)")
    connection.execute(f"PRAGMA user_version = {schema.VERSION}")
    assert schema.difference(connection) == (
        "the column [task_type] is [INTEGER], not [TEXT], "
        "the column [blob] is [missing], not [BLOB]"
    )
