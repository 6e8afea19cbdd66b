from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.config import ConfigError, StoreConfig
from proxy.ground.errors import (
    EndpointAlreadyExists,
    KeyMismatch,
    RecordRefused,
    StoreError,
    StoreOverloaded,
)
from proxy.inference.ports import Known, Listing
from proxy.store.sqlite import SQLiteStore
from tests.support.noteconformance import NoteConformance
from tests.support.sqlitestore import StoredInSQLite, set_pragma
from tests.support.storeconformance import TOKEN, StoreConformance, endpoint

KEY, OTHER_KEY = "11" * 32, "22" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "endpoints.db"


@pytest.fixture
async def store(path):
    store = SQLiteStore(path, StoreConfig())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def second(store, path):
    second = SQLiteStore(path, StoreConfig())
    await second.open()
    yield second
    await second.close()


@pytest.fixture
def stored(path):
    return StoredInSQLite(path)


class TestSQLite(StoreConformance, NoteConformance):
    pass


async def test_a_file_of_a_proxy_without_notes_is_taken(store, second, stored):
    await store.create(endpoint())
    await store.close()
    stored.run("DROP TABLE notes")
    await store.open()
    await store.notes.write("task/1", {"a": 1})
    assert await store.get("e1") == Known(endpoint())


async def test_rows_of_others_are_no_notes(store, stored):
    await store.notes.write("task/1", {"a": 1})
    stored.run("INSERT INTO notes SELECT 'task/2', key_id, blob FROM notes")
    stored.run("INSERT INTO notes VALUES ('task/3', '', 7)")
    assert await store.notes.all() == {"task/1": {"a": 1}}
    assert await store.notes.read("task/2") is None


async def open_and_close(path: Path, **config: Any) -> None:
    store = SQLiteStore(path, StoreConfig(**config))
    await store.open()
    await store.close()


async def test_all_files_are_the_owners_alone(store, path):
    await store.create(endpoint())
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        ["endpoints.db", "endpoints.db-shm", "endpoints.db-wal", "endpoints.db.key"], 0o600
    )
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_files_of_a_volume_that_kubernetes_gave_to_a_group_are_taken(store, path):
    await store.create(endpoint())
    await store.close()
    path.parent.chmod(0o2770)  # fsGroup does so with each start of a pod
    for file in path.parent.iterdir():
        file.chmod(0o660)
    again = SQLiteStore(path, StoreConfig())
    await again.open()
    assert (await again.get("e1")).endpoint == endpoint()
    await again.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("blob", "'a text'"),
        ("blob", "17"),
        ("blob", "CAST(x'ff' AS TEXT)"),
        ("key_id", "CAST(x'ff' AS TEXT)"),
        ("task_type", "x'ff'"),
    ],
)
async def test_rows_of_the_wrong_kind_are_refused_alone(store, stored, column, value):
    await store.create(endpoint())
    await store.create(endpoint("e2"))
    stored.run(f"UPDATE endpoints SET {column} = {value} WHERE id = 'e1'")
    with pytest.raises(RecordRefused, match="cannot be used"):
        await store.get("e1")
    assert await store.find() == Listing([endpoint("e2")], refused=("e1",))


async def test_an_id_that_is_no_text_hinders_no_other(store, stored, caplog):
    await store.create(endpoint("e2"))
    stored.run("INSERT INTO endpoints VALUES (CAST(x'0aff' AS TEXT), '', '', '')")
    assert (await store.find()).endpoints == [endpoint("e2")]
    assert r"[\n\ufffd] cannot be used" in caplog.text


async def test_endpoints_outlive_the_process(path):
    first = SQLiteStore(path, StoreConfig())
    await first.open()
    await first.create(endpoint())
    await first.close()
    later = SQLiteStore(path, StoreConfig())
    await later.open()
    assert await later.get("e1") == Known(endpoint())
    await later.close()


async def test_another_key_is_a_reason_not_to_start(path):
    first = SQLiteStore(path, StoreConfig(encryption_key=KEY))
    await first.open()
    await first.create(endpoint())
    await first.close()
    with pytest.raises(KeyMismatch) as other:
        await open_and_close(path, encryption_key=OTHER_KEY)
    assert str(path) in str(other.value)
    assert "[store.encryption_key]" in str(other.value)
    assert "\n" not in str(other.value)
    with pytest.raises(KeyMismatch, match="no key is at hand"):
        await open_and_close(path)
    assert not path.with_name("endpoints.db.key").exists()
    await open_and_close(path, encryption_key=KEY)
    await open_and_close(path, encryption_key=OTHER_KEY, previous_key=KEY)


async def test_a_store_without_records_takes_any_key(path):
    await open_and_close(path, encryption_key=KEY)
    await open_and_close(path, encryption_key=OTHER_KEY)


async def test_nothing_is_written_beside_records_of_another_key(path):
    one = SQLiteStore(path, StoreConfig(encryption_key=KEY))
    other = SQLiteStore(path, StoreConfig(encryption_key=OTHER_KEY))
    await one.open()
    await other.open()
    await one.create(endpoint())
    with pytest.raises(KeyMismatch):
        await other.create(endpoint("e2"))
    await one.close()
    await other.close()


async def test_a_newer_format_of_the_file_is_refused(store, path):
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="newer version of the proxy"):
        await open_and_close(path)


async def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 100)
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(StoreError, match="SQLITE_NOTADB"):
        await open_and_close(tmp_path / "text")
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    with pytest.raises(ConfigError, match=r"\[store.kind\].*chmod o-w"):
        await open_and_close(tmp_path / "open")
    with pytest.raises(ConfigError, match="cannot open"):
        await open_and_close(tmp_path / "text" / "endpoints.db")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod o-w"):
        await open_and_close(shared / "endpoints.db")


async def test_a_locked_file_is_an_error_after_the_timeout(path, store):
    await store.create(endpoint())
    impatient = SQLiteStore(path, StoreConfig(timeout=0.05))
    await impatient.open()
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="SQLITE_BUSY"):
        await impatient.create(endpoint("e2"))
    assert await impatient.get("e1") == Known(endpoint())  # readers wait for nobody
    locker.execute("ROLLBACK")
    locker.close()
    await impatient.create(endpoint("e2"))
    await impatient.close()


async def test_a_full_disk_is_told(path, store):
    await store.create(endpoint())
    await set_pragma(store, "max_page_count = 1")
    creates = (store.create(endpoint(f"x{n}", token="x" * 4000)) for n in range(20))
    with pytest.raises(StoreOverloaded) as full:
        await asyncio.gather(*creates)
    assert full.value.status == 429
    assert await store.get("e1") == Known(endpoint())


async def test_a_store_that_is_not_open_says_so(path):
    store = SQLiteStore(path, StoreConfig())
    with pytest.raises(StoreError, match="not open"):
        await store.get("e1")
    await store.close()


# Several processes


def _in_process(path: Path, number: int, ready, outcomes) -> None:
    async def run() -> None:
        store = SQLiteStore(path, StoreConfig())
        await store.open()
        ready.wait()
        try:
            await store.create(endpoint(url=f"http://h/{number}"))
            outcomes.put(number)
        except EndpointAlreadyExists:
            outcomes.put(None)
        for n in range(10):
            await store.create(endpoint(f"e-{number}-{n}"))
        await store.update("e1", lambda old: old.with_service_settings(dimensions=number))
        await store.close()

    asyncio.run(run())


async def test_processes_that_start_at_once_share_one_key_and_one_truth(path):
    context = multiprocessing.get_context("spawn")
    ready, outcomes = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_in_process, args=(path, n, ready, outcomes)) for n in range(1, 5)
    ]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    winners = [n for n in (outcomes.get() for _ in processes) if n is not None]
    assert len(winners) == 1
    store = SQLiteStore(path, StoreConfig())
    await store.open()
    assert len((await store.find()).endpoints) == 41
    settings = (await store.get("e1")).endpoint.service_settings
    assert settings.url == f"http://h/{winners[0]}"
    assert settings.dimensions in (1, 2, 3, 4)
    await store.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from proxy.config import StoreConfig
from proxy.store.sqlite import SQLiteStore
from tests.support.storeconformance import endpoint

async def main():
    store = SQLiteStore(Path(sys.argv[1]), StoreConfig())
    await store.open()
    n = 0
    while True:
        await store.create(endpoint(f"e{n}"))
        print("+", n, flush=True)
        if n % 3 == 2:
            await store.delete(f"e{n - 1}")
            print("-", n - 1, flush=True)
        n += 1

asyncio.run(main())
"""


async def test_kill_loses_nothing_acknowledged_and_brings_nothing_back(path):
    for _ in range(3):
        path.unlink(missing_ok=True)
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        said = [await writer.stdout.readline() for _ in range(40)]
        os.kill(writer.pid, signal.SIGKILL)
        said += (await writer.stdout.read()).splitlines()
        await writer.wait()
        lines = [line.split() for line in said if line.strip()]
        created = {int(n) for sign, n in lines if sign == b"+"}
        deleted = {int(n) for sign, n in lines if sign == b"-"}
        store = SQLiteStore(path, StoreConfig())
        await store.open()
        there = {int(one.inference_id[1:]) for one in (await store.find()).endpoints}
        await store.close()
        next_delete = {
            n - 1 for n in created if n % 3 == 2
        } - deleted  # which may have been done before the kill, but unreported
        assert created - deleted - next_delete <= there
        assert not deleted & there
        assert there - created <= {max(created) + 1}
        for leftover in path.parent.glob("*.db-*"):
            leftover.unlink()


async def test_no_text_of_ours_holds_the_token(store, caplog):
    caplog.set_level("DEBUG")
    await store.create(endpoint())
    with pytest.raises(EndpointAlreadyExists) as error:
        await store.create(endpoint())
    assert TOKEN not in str(error.value)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(endpoint())
