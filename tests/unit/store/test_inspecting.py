"""Which inspection looks at the configured store."""

from __future__ import annotations

from pathlib import Path

from proxy.config import Config, StoreConfig
from proxy.store.elasticsearch.inspection import ElasticsearchInspection
from proxy.store.inspecting import inspect
from proxy.store.sqlite.inspection import SQLiteInspection


def test_the_kind_of_store_decides(tmp_path: Path):
    path = tmp_path / "e.db"
    of_file = inspect(Config(store=StoreConfig(kind=f"sqlite:{path}")))
    assert isinstance(of_file, SQLiteInspection)
    assert of_file.place == str(path)
    of_index = inspect(Config(store=StoreConfig(kind="elasticsearch", index="i")))
    assert isinstance(of_index, ElasticsearchInspection)
    assert (of_index.place, of_index.what) == ("i", "the index [i]")
