"""The file of the store, looked at without a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigError, StoreConfig
from proxy.store.sqlite import SQLiteStore, records
from proxy.store.sqlite.inspection import SQLiteInspection
from tests.support.storeconformance import endpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "endpoints.db"


async def test_there_may_be_no_store_yet(path: Path):
    inspection = SQLiteInspection(str(path), StoreConfig())
    inspection.open()
    assert await inspection.records() is None
    assert await inspection.rights() == {}
    await inspection.close()
    assert not path.parent.exists()
    assert inspection.generated == path.with_name("endpoints.db.key")


async def test_all_records_are_seen(path: Path):
    store = SQLiteStore(path, StoreConfig())
    await store.open()
    count = records.PAGE + 1
    for number in range(count):
        await store.create(endpoint(f"e{number}"))
    found = await SQLiteInspection(str(path), StoreConfig()).records()
    await store.close()
    assert found is not None
    assert len(found) == count


async def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        await SQLiteInspection(str(tmp_path / "file" / "a.db"), StoreConfig()).records()
