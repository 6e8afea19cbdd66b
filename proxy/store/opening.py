"""Choosing the store that is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config import Config, state_folder
from proxy.inference.ports import EndpointStore

if TYPE_CHECKING:
    from proxy.store.cached import CachedStore


def open_store(config: Config) -> CachedStore:
    """The configured store behind its cache, not yet opened."""
    from proxy.store.cached import CachedStore

    return CachedStore(_bare_store(config), config.store.freshness)


def _bare_store(config: Config) -> EndpointStore:
    if config.store_kind == "elasticsearch":
        from proxy.store.elasticsearch import ElasticsearchStore

        return ElasticsearchStore(config.upstream, config.store, folder=state_folder())
    from proxy.store.sqlite import SQLiteStore

    return SQLiteStore(config.store_kind.removeprefix("sqlite:"), config.store)
