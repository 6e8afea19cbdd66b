"""The file of the store: made, opened, and missed when somebody removes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.ground.errors import StoreDamaged, StoreError
from proxy.store.sqlite.file import DatabaseFile, located

INSERT = "INSERT INTO notes (name, key_id, blob) VALUES ('a', 'k', x'00')"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DatabaseFile]:
    file = DatabaseFile(tmp_path / "state" / "endpoints.db", 0.01)
    file.make()
    file.open()
    yield file
    file.close()


def run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def names(file: DatabaseFile) -> list[tuple[object, ...]]:
    return file.select("SELECT name FROM notes")


def test_it_is_its_owners_alone(file: DatabaseFile):
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_transaction_is_done_or_not(file: DatabaseFile):
    with file.transaction() as connection:
        connection.execute(INSERT)
    assert names(file) == [("a",)]

    def fail() -> None:
        with file.transaction() as connection:
            connection.execute("DELETE FROM notes")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert names(file) == [("a",)]


def test_bytes_that_are_no_text_keep_nobody_from_reading(file: DatabaseFile):
    run(file.path, "INSERT INTO notes (name, key_id, blob) VALUES (CAST(x'ff' AS TEXT), 'k', x'')")
    assert names(file) == [("\ufffd",)]


def test_a_file_that_is_gone_is_told(file: DatabaseFile):
    moved = file.path.rename(file.path.with_name("moved"))
    with pytest.raises(StoreError, match="was removed or replaced"):
        names(file)
    with pytest.raises(StoreError, match="was removed or replaced"), file.transaction():
        pass
    moved.rename(file.path)
    assert names(file) == []


def test_a_file_that_a_newer_proxy_took_over_is_told(file: DatabaseFile):
    run(file.path, "PRAGMA user_version = 99")
    with pytest.raises(StoreDamaged, match="newer version of the proxy"):
        names(file)
    file.close()
    with pytest.raises(ConfigError, match="newer version of the proxy"):
        file.open()


def test_a_look_changes_nothing(file: DatabaseFile):
    file.close()
    before = {one.name: one.stat().st_mtime_ns for one in file.path.parent.iterdir()}
    assert file.open_to_look()
    assert names(file) == []
    file.close()
    assert {one.name: one.stat().st_mtime_ns for one in file.path.parent.iterdir()} == before


def test_an_empty_file_has_no_tables_yet(tmp_path: Path):
    file = DatabaseFile(tmp_path / "empty.db", 0.01)
    file.make()
    assert not file.open_to_look()
    file.close()
    assert file.path.read_bytes() == b""


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot open"):
        DatabaseFile(tmp_path, 0.01).make()


def test_a_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located("~/a.db") == tmp_path / "a.db"
    assert located("a.db").is_absolute()
