"""Failures of the SQLite store's file: each is named, and nothing is overwritten."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from proxy.config import ConfigError, StoreConfig
from proxy.ground.errors import StoreDamaged, StoreError, StoreOverloaded
from proxy.inference.ports import Known
from proxy.store.sqlite import SQLiteStore
from testbed.processes import proxy_command
from tests.support.processes import clean_environ
from tests.support.sqlitestore import run, set_pragma
from tests.support.storeconformance import (
    Remembering,
    as_a_proxy_has_it,
    assert_fails,
    assert_unusable,
    assert_usable,
    changes,
    endpoint,
)

KEY = "11" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "endpoints.db"


@pytest.fixture
async def inner(path: Path):
    inner = SQLiteStore(path, StoreConfig(encryption_key=KEY, timeout=0.2))
    await inner.open()
    await inner.create(endpoint())
    yield inner
    await inner.close()


@pytest.fixture
async def store(inner: SQLiteStore) -> Remembering:
    return await as_a_proxy_has_it(inner)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the lock for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# While the proxy runs


@pytest.mark.parametrize("name", ["endpoints.db", "endpoints.db-wal", "endpoints.db-shm"])
async def test_a_file_that_is_gone_takes_no_changes_until_it_is_back(store, path, name):
    aside, file = path.with_name("aside"), path.with_name(name)
    file.rename(aside)
    await assert_unusable(store, StoreError, 503, "was removed or replaced: put it back")
    assert not file.exists()
    aside.rename(file)
    await assert_usable(store)


async def test_a_file_in_its_place_is_left_alone(store, path):
    path.rename(path.with_name("aside"))
    shutil.copy(path.with_name("aside"), path)
    before = path.read_bytes()
    await assert_unusable(store, StoreError, 503, "was removed or replaced")
    assert path.read_bytes() == before


async def test_a_full_disk_stops_changes_and_no_reads(store, inner):
    await set_pragma(inner, "max_page_count = 1")
    with pytest.raises(StoreOverloaded, match="is full: free space there") as error:
        await store.create(endpoint("e2", token="x" * 40_000))
    assert error.value.status == 429
    assert error.value.headers == [("Retry-After", "30")]
    assert await store.get("e1") == Known(endpoint())
    await set_pragma(inner, "max_page_count = 1000")
    await assert_usable(store)


async def test_a_read_only_file_stops_changes_and_no_reads(store, inner):
    await set_pragma(inner, "query_only = ON")
    for change in changes(store):
        await assert_fails(change, StoreError, 503, "SQLITE_READONLY.*must be writable")
    assert await store.get("e1") == Known(endpoint())
    await set_pragma(inner, "query_only = OFF")
    await assert_usable(store)


async def test_a_locked_file_stops_changes_and_no_reads(store, path):
    with locked(path):
        for change in changes(store):
            await assert_fails(change, StoreError, 503, "SQLITE_BUSY.*another process keeps it")
        assert await store.get("e1") == Known(endpoint())
    await assert_usable(store)


async def test_a_file_that_a_newer_proxy_took_over_is_left_alone(store, path):
    run(path, "PRAGMA user_version = 99")
    before = run(path, "SELECT * FROM endpoints")
    await assert_unusable(store, StoreDamaged, 500, "newer version of the proxy: upgrade this one")
    assert run(path, "SELECT * FROM endpoints") == before
    run(path, "PRAGMA user_version = 1")
    await assert_usable(store)


async def test_a_damaged_file_is_told_from_one_that_is_away(store, inner, path):
    run(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    await set_pragma(inner, "shrink_memory")
    await assert_unusable(store, StoreDamaged, 500, "SQLITE_CORRUPT.*restore it from a backup")


async def test_tables_that_somebody_changed_are_told(store, path):
    run(path, "ALTER TABLE endpoints RENAME TO others")
    await assert_unusable(store, StoreError, 503, "tables are not as the proxy makes them")
    run(path, "ALTER TABLE others RENAME TO endpoints")
    await assert_usable(store)


# When the proxy starts


def made_by_another_program(path: Path) -> None:
    run(path, "CREATE TABLE notes (text)")


def with_another_column(path: Path) -> None:
    run(path, "CREATE TABLE endpoints (id TEXT, task_type TEXT, key_id TEXT, blob INTEGER)")
    run(path, "PRAGMA user_version = 1")


def of_a_newer_version(path: Path) -> None:
    run(path, "CREATE TABLE endpoints (id TEXT)")
    run(path, "PRAGMA user_version = 2")


def no_database(path: Path) -> None:
    path.write_bytes(b"\xff" * 10_000)


STARTS = [
    (made_by_another_program, r"another program has made it. Set \[store.kind\]"),
    (with_another_column, r"the column \[blob\] is \[INTEGER\], not \[BLOB\]. Set"),
    (of_a_newer_version, "newer version of the proxy: upgrade this one"),
    (no_database, "SQLITE_NOTADB.*restore it from a backup"),
]


@pytest.mark.parametrize(("make", "text"), STARTS)
async def test_a_file_that_is_not_ours_is_refused_and_left_alone(path, make, text):
    path.parent.mkdir(0o700)
    make(path)
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises((ConfigError, StoreDamaged), match=text):
        await SQLiteStore(path, StoreConfig()).open()
    assert path.read_bytes() == before
    assert not path.with_name("endpoints.db.key").exists()


def test_a_start_beside_a_locked_file_ends_in_one_line(path, tmp_path):
    path.parent.mkdir(0o700)
    run(path, "PRAGMA journal_mode = WAL")
    path.chmod(0o600)
    environ = clean_environ(tmp_path) | {"HFPROXY_STORE_TIMEOUT": "0.2"}
    arguments = proxy_command("serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{path}")
    with locked(path):
        done = subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: The file in [store.kind] cannot be used (SQLITE_BUSY): another")
