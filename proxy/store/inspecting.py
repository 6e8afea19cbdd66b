"""Looking at the configured store without a change: for whoever has to know before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from proxy.config import Config, state_folder
from proxy.store.sealed import Record


class Inspection(Protocol):
    """A store that is looked at. Every method raises StoreError or ConfigError."""

    place: str  # the store, as errors about keys name it
    what: str  # the same in words
    generated: Path  # where a key is made if none is configured

    def open(self) -> None: ...

    async def rights(self) -> Mapping[str, bool]:
        """Whether the proxy has each privilege that it needs; empty where none are needed."""

    async def records(self) -> list[Record] | None:
        """Everything that is stored; None if there is no store yet."""

    async def close(self) -> None: ...


def inspect(config: Config) -> Inspection:
    """An inspection of the configured store, not yet opened."""
    if config.store_kind == "elasticsearch":
        from proxy.store.elasticsearch.inspection import ElasticsearchInspection

        return ElasticsearchInspection(config.upstream, config.store, folder=state_folder())
    from proxy.store.sqlite.inspection import SQLiteInspection

    return SQLiteInspection(config.store_kind.removeprefix("sqlite:"), config.store)
