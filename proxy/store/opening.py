"""Choosing the store that is configured."""

from __future__ import annotations

from proxy.config import Config, state_folder
from proxy.inference.ports import Store
from proxy.store.cached import CachedStore


def open_store(config: Config) -> CachedStore:
    """The configured store behind its cache, not yet opened."""
    return CachedStore(configured_store(config), config.store.freshness)


def configured_store(config: Config) -> Store:
    """The configured store itself, not yet opened."""
    # Imported only where it is used: Elasticsearch's client takes long to import.
    if config.store_kind == "elasticsearch":
        from proxy.store.elasticsearch import ElasticsearchStore

        return ElasticsearchStore(config.upstream, config.store, folder=state_folder())
    from proxy.store.sqlite import SQLiteStore

    return SQLiteStore(config.store_kind.removeprefix("sqlite:"), config.store)
