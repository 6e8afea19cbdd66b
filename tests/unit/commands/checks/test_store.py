"""The SQLite store, as `check` sees it; the one in Elasticsearch is tried with a real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.checks.store import check_store
from proxy.config import Config, StoreConfig
from proxy.store.opening import open_store
from tests.support.samples import make_endpoint
from tests.support.sqlitestore import run

KEY, OTHER = "6b" * 32, "7a" * 32


def config(path: Path, **more: Any) -> Config:
    given: dict[str, Any] = {"encryption_key": KEY} | more
    return Config(store=StoreConfig(kind=f"sqlite:{path}", **given))


async def found(path: Path, **more: Any) -> list[str]:
    return [str(one) for one in await check_store(config(path, **more))]


def files(folder: Path) -> Mapping[str, bytes]:
    """All that is below a folder; of folders the names."""
    found = folder.rglob("*")
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in found}


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "endpoints.db"
    store = open_store(config(path))
    await store.open()
    await store.create(make_endpoint())
    await store.close()
    return path


async def test_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "endpoints.db"
    assert await found(path, encryption_key=None) == [
        f"ok      store: the file [{path}] is not there yet: the proxy makes it",
        "ok      store: there is no encryption key yet, the first start makes one at "
        f"[{path}.key]: keep a copy of it",
    ]
    assert files(tmp_path) == {}


async def test_what_is_there_is_opened_and_left_as_it_is(filled: Path) -> None:
    before = files(filled.parent)
    lines = await found(filled)
    assert lines[0] == f"ok      store: the file [{filled}] is as the proxy makes it"
    assert lines[1].endswith("] fits what is stored")
    assert lines[2:] == ["ok      store: 1 inference endpoints can be used"]
    assert files(filled.parent) == before


async def test_beside_a_proxy_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "state" / "endpoints.db"
    store = open_store(config(path))
    await store.open()
    await store.create(make_endpoint())
    try:
        assert (await found(path))[-1] == "ok      store: 1 inference endpoints can be used"
        assert (await store.get(make_endpoint().inference_id)).endpoint == make_endpoint()
        await store.delete(make_endpoint().inference_id)
    finally:
        await store.close()


async def test_a_foreign_key_is_an_error(filled: Path) -> None:
    line = (await found(filled, encryption_key=OTHER))[-1]
    assert line.startswith(f"error   store: the store [{filled}] holds inference endpoints sealed")
    assert OTHER not in line


async def test_a_lost_key_is_an_error_and_none_is_made(filled: Path) -> None:
    before = files(filled.parent)
    line = (await found(filled, encryption_key=None))[-1]
    assert line.startswith("error ")
    assert f"put the key file back at [{filled}.key]" in line
    assert files(filled.parent) == before


async def test_a_key_that_is_none_is_an_error(filled: Path) -> None:
    line = (await found(filled, encryption_key="short"))[-1]
    assert line.startswith("error   store: [store.encryption_key] must be 32 random bytes")


async def test_a_change_of_keys_under_way_is_a_warning(filled: Path) -> None:
    line = (await found(filled, encryption_key=OTHER, previous_key=KEY))[-1]
    assert line.startswith("warning store: 1 of them are sealed with [store.previous_key]: `rekey`")


async def test_a_record_that_does_not_open_is_a_warning(filled: Path) -> None:
    run(filled, "UPDATE endpoints SET task_type = 'sparse_embedding'")
    line = (await found(filled))[2]
    assert line.startswith("warning store: the records of ")


async def test_a_file_of_another_program_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    run(path, "CREATE TABLE theirs (id)")
    path.chmod(0o600)
    before = files(tmp_path)
    (line,) = await found(path)
    assert line.startswith(f"error   store: [{path}] is not as the proxy makes it: another program")
    assert files(tmp_path) == before


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database at all, but a text" * 100)
    path.chmod(0o600)
    (line,) = await found(path)
    assert line.startswith("error   store: The file in [store.kind] is damaged")


async def test_an_empty_file_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch(0o600)
    assert "is not there yet" in (await found(path))[0]


async def test_a_place_where_nothing_can_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "endpoints.db"
    (line,) = await found(path)
    assert line.startswith("error ")
