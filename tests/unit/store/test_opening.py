from __future__ import annotations

import pytest

from proxy.config import Config, StoreConfig
from proxy.ground.errors import EndpointNotFound
from proxy.inference.ports import Known
from proxy.store.cached import CachedStore
from proxy.store.opening import open_store
from tests.support.storeconformance import endpoint, with_token


async def test_the_configured_store_is_opened_behind_a_cache(tmp_path):
    config = Config(
        store=StoreConfig(kind=f"sqlite:{tmp_path / 'state' / 'endpoints.db'}", freshness=60)
    )
    store = open_store(config)
    assert isinstance(store, CachedStore)
    await store.open()
    await store.create(endpoint())
    assert await store.get("e1") == Known(endpoint())
    await store.update("e1", with_token("new"))
    assert (await store.get("e1")).endpoint.secret_settings.api_key == "new"
    await store.delete("e1")
    with pytest.raises(EndpointNotFound):
        await store.get("e1")
    await store.close()
