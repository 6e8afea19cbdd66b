"""The store in real Elasticsearches: with and without security, and of older versions."""

from __future__ import annotations

import pytest
from yarl import URL

from proxy.config import UpstreamConfig
from proxy.ground.errors import EndpointNotFound, KeyMismatch, StoreError
from proxy.inference.ports import Known, Listing
from proxy.store.cached import CachedStore
from proxy.store.elasticsearch import ElasticsearchStore
from tests.support.clusters import KEY, STORE_PRIVILEGES, opened
from tests.support.noteconformance import NoteConformance
from tests.support.relays import Relay
from tests.support.storeconformance import TOKEN, StoreConformance, endpoint

OTHER_KEY = "22" * 32


class _OnElasticsearch(StoreConformance, NoteConformance):
    @pytest.fixture
    async def store(self, stored, tmp_path):
        store = await opened(stored, tmp_path)
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, stored, tmp_path):
        second = await opened(stored, tmp_path)
        yield second
        await second.close()


class TestOpen(_OnElasticsearch):
    @pytest.fixture
    def stored(self, open_cluster):
        return open_cluster


class TestSecured(_OnElasticsearch):
    """With just the privileges that the documentation asks for."""

    @pytest.fixture
    def stored(self, secured_cluster):
        return secured_cluster


@pytest.mark.parametrize("older", ["8.19.8", "7.17.9"], indirect=True, scope="module")
class TestOlder(_OnElasticsearch):
    @pytest.fixture
    def stored(self, older_cluster):
        return older_cluster


# The index


@pytest.mark.alone  # searches all indices
async def test_the_index_is_hidden_and_strict(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await open_cluster.assert_as_made()
    for wide in ("_all", "*", "hugging*"):
        found = await open_cluster.call("GET", f"/{wide}/_search?q=e1")
        assert found["hits"]["total"]["value"] == 0
    await store.close()


# Keys


async def test_a_first_start_makes_a_key_and_later_ones_use_it(open_cluster, tmp_path):
    for _ in range(2):
        store = await opened(open_cluster, tmp_path / "state", encryption_key=None)
        assert (tmp_path / "state" / "encryption.key").stat().st_mode & 0o777 == 0o600
        if not (await store.find()).endpoints:
            await store.create(endpoint())
        assert await store.get("e1") == Known(endpoint())
        await store.close()


async def test_records_of_another_key_are_a_reason_not_to_start(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await store.close()
    with pytest.raises(KeyMismatch, match=r"\[store.encryption_key\]"):
        await opened(open_cluster, tmp_path, encryption_key=OTHER_KEY)
    with pytest.raises(KeyMismatch, match="no key is at hand"):
        await opened(open_cluster, tmp_path, encryption_key=None)
    assert not (tmp_path / "encryption.key").exists()
    rotated = await opened(open_cluster, tmp_path, encryption_key=OTHER_KEY, previous_key=KEY)
    assert await rotated.get("e1") == Known(endpoint())
    await rotated.close()


async def test_two_proxies_with_two_keys_cannot_both_write(open_cluster, tmp_path):
    one = await opened(open_cluster, tmp_path / "one", encryption_key=None)
    other = await opened(open_cluster, tmp_path / "other", encryption_key=None)
    await one.create(endpoint())
    with pytest.raises(KeyMismatch):
        await other.create(endpoint("e2"))
    await one.close()
    await other.close()


# Rights


async def test_an_api_key_is_enough(secured_cluster, tmp_path):
    rights = {"names": [secured_cluster.index], "privileges": STORE_PRIVILEGES}
    body = {"name": "store", "role_descriptors": {"store": {"indices": [rights]}}}
    key = await secured_cluster.call("POST", "/_security/api_key", body)
    upstream = UpstreamConfig(url=secured_cluster.url, api_key=key["encoded"])
    store = ElasticsearchStore(upstream, secured_cluster.config(), folder=tmp_path)
    await store.open()
    await store.create(endpoint())
    assert await store.find() == Listing([endpoint()])
    await store.close()


async def test_who_may_read_every_index_sees_no_token(secured_cluster, tmp_path):
    store = await opened(secured_cluster, tmp_path)
    await store.create(endpoint())
    found = await secured_cluster.call("GET", "/_all/_search?expand_wildcards=all&size=1000")
    mine = [hit for hit in found["hits"]["hits"] if hit["_index"] == secured_cluster.index]
    assert len(mine) == 1
    assert set(mine[0]["_source"]) == {"id", "task_type", "key_id", "blob"}
    assert TOKEN not in repr(found)
    await store.close()


# An upstream that comes and goes


async def test_a_store_starts_without_its_upstream_and_recovers_with_it(
    open_cluster, tmp_path, unused_tcp_port
):
    upstream = UpstreamConfig(url=f"http://127.0.0.1:{unused_tcp_port}")
    store = CachedStore(
        ElasticsearchStore(
            upstream, open_cluster.config(encryption_key=None), folder=tmp_path / "state"
        ),
        freshness=0.0,
    )
    await store.open()
    assert not (tmp_path / "state").exists()  # no key before it is known that there are no records
    with pytest.raises(StoreError, match="cannot be reached") as error:
        await store.get("e1")
    assert str(unused_tcp_port) not in str(error.value)
    with pytest.raises(StoreError):
        await store.create(endpoint())
    async with Relay(URL(open_cluster.url), unused_tcp_port):
        with pytest.raises(EndpointNotFound):
            await store.get("e1")
        await store.create(endpoint())
        assert await store.get("e1") == Known(endpoint())
    assert await store.get("e1") == Known(endpoint(), stale=True)
    with pytest.raises(StoreError):
        await store.find()
    async with Relay(URL(open_cluster.url), unused_tcp_port):
        assert await store.find() == Listing([endpoint()])
    await store.close()


async def test_another_key_is_noticed_when_the_upstream_comes_back(
    open_cluster, tmp_path, unused_tcp_port
):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await store.close()
    upstream = UpstreamConfig(url=f"http://127.0.0.1:{unused_tcp_port}")
    config = open_cluster.config(encryption_key=OTHER_KEY)
    late = ElasticsearchStore(upstream, config, folder=tmp_path)
    await late.open()
    async with Relay(URL(open_cluster.url), unused_tcp_port):
        for call in (late.get("e1"), late.find(), late.create(endpoint("e2"))):
            with pytest.raises(KeyMismatch):
                await call
    await late.close()
