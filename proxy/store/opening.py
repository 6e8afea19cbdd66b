"""Opening the configured store, and sealing all its records anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config import Config
from proxy.errors import StoreError
from proxy.inference.ids import list_ids
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

        return ElasticsearchStore(config.upstream, config.store)
    from proxy.store.sqlite import SQLiteStore

    return SQLiteStore(config.store_kind.removeprefix("sqlite:"), config.store)


async def reseal(store: EndpointStore) -> int:
    """Seal every record again, under the current key; how many there were.

    The last step of a change of keys: after it, the previous one is needed no more.
    Raises: StoreError, after all others are sealed, if there are records that must not be used.
    """
    found = await store.find()
    count = len(found.endpoints)
    for endpoint in found.endpoints:
        await store.update(endpoint.inference_id, lambda current: current)
    if found.refused:
        raise StoreError(
            f"{count} endpoints are sealed with the current key, but {list_ids(found.refused)} are "
            "not, as their records cannot be used: GET one to see why, DELETE what is lost"
        )
    return count
