"""The Elasticsearch store against real ones: open, secured, and of older versions."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import pytest
from aiohttp import ClientSession

from demo.elasticsearch import start
from proxy.config import Config, StoreConfig, UpstreamConfig
from proxy.errors import EndpointNotFound, StoreError
from proxy.store import KeyMismatch, StoreOverloaded, open_store
from proxy.store.cached import CachedStore, served_stale
from proxy.store.elasticsearch import ElasticsearchStore
from tests.storeconformance import StoreConformance, Stored, endpoint, with_token
from tests.users import basic

KEY, OTHER_KEY = "11" * 32, "22" * 32
STORE_USER = {"username": "endpoint-store", "password": "endpoint-store-password"}
STORE_PRIVILEGES = ["read", "write", "create_index"]  # what the documentation asks for
_indices = itertools.count()


class Cluster(Stored):
    """An Elasticsearch, and one index of it for the store of one test."""

    def __init__(self, url: str, *, secured: bool) -> None:
        self.url = url
        self.secured = secured
        self.index = f"hugging-face-inference-endpoints-{next(_indices)}"

    def upstream(self) -> UpstreamConfig:
        return UpstreamConfig(url=self.url, **(STORE_USER if self.secured else {}))

    def config(self, **more: Any) -> StoreConfig:
        return StoreConfig(**{"index": self.index, "encryption_key": KEY, **more})

    async def call(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        """As the administrator, behind the store's back."""
        headers = {"Authorization": basic("admin")} if self.secured else {}
        async with (
            ClientSession(headers=headers) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            assert answer.status in (expect, 201), await answer.text()
            return await answer.json()

    async def raw(self) -> bytes:
        found = await self.call("GET", f"/{self.index}/_search?size=100")
        texts = [repr(hit) for hit in found["hits"]["hits"]]
        texts += [
            base64.b64decode(hit["_source"]["blob"]).decode("latin1")
            for hit in found["hits"]["hits"]
        ]
        return "".join(texts).encode("latin1")

    async def copy(self, source: str, target: str) -> None:
        document = await self._document(source)
        await self._write(target, {**document, "id": target})

    async def rewrite(self, inference_id: str, **fields: object) -> None:
        document = await self._document(inference_id)
        for name, value in fields.items():
            document[name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        await self._write(inference_id, document)

    async def blob(self, inference_id: str) -> bytes:
        return base64.b64decode((await self._document(inference_id))["blob"])

    async def _document(self, inference_id: str) -> Any:
        return (await self.call("GET", f"/{self.index}/_doc/{inference_id}"))["_source"]

    async def _write(self, inference_id: str, document: Any) -> None:
        await self.call("PUT", f"/{self.index}/_doc/{inference_id}?refresh=true", document)


@pytest.fixture(scope="module")
def older(request):
    elasticsearch = start(version=request.param)
    yield elasticsearch
    elasticsearch.stop()


@pytest.fixture
async def open_cluster(elasticsearch):
    cluster = Cluster(elasticsearch.url, secured=False)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")


@pytest.fixture
async def secured_cluster(secured_elasticsearch):
    cluster = Cluster(secured_elasticsearch.url, secured=True)
    rights = {"names": ["hugging-face-inference-endpoints-*"], "privileges": STORE_PRIVILEGES}
    await cluster.call("PUT", "/_security/role/endpoint-store", {"indices": [rights]})
    user = {"password": STORE_USER["password"], "roles": ["endpoint-store"]}
    await cluster.call("PUT", f"/_security/user/{STORE_USER['username']}", user)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")


@pytest.fixture
async def older_cluster(older):
    cluster = Cluster(older.url, secured=False)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")


async def opened(cluster: Cluster, folder: Any, **config: Any) -> ElasticsearchStore:
    store = ElasticsearchStore(cluster.upstream(), cluster.config(**config), folder=folder)
    await store.open()
    return store


class _OnElasticsearch(StoreConformance):
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
    """With no rights but those that the documentation asks for."""

    @pytest.fixture
    def stored(self, secured_cluster):
        return secured_cluster


@pytest.mark.parametrize("older", ["8.19.8", "7.17.9"], indirect=True, scope="module")
class TestOlder(_OnElasticsearch):
    @pytest.fixture
    def stored(self, older_cluster):
        return older_cluster


# The index


async def test_the_index_is_hidden_and_strict(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await assert_hidden_and_strict(open_cluster)
    for wide in ("_all", "*", "hugging*"):
        found = await open_cluster.call("GET", f"/{wide}/_search?q=e1")
        assert found["hits"]["total"]["value"] == 0
    await store.close()


async def test_an_index_deleted_meanwhile_comes_back_as_it_was(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await open_cluster.call("DELETE", f"/{open_cluster.index}")
    assert await store.find() == []
    with pytest.raises(EndpointNotFound):
        await store.get("e1")
    with pytest.raises(EndpointNotFound):
        await store.delete("e1")
    await store.create(endpoint())
    await store.close()
    await assert_hidden_and_strict(open_cluster)


async def assert_hidden_and_strict(cluster: Cluster) -> None:
    about = (await cluster.call("GET", f"/{cluster.index}"))[cluster.index]
    settings = about["settings"]["index"]
    assert settings["hidden"] == "true"
    assert settings["number_of_shards"] == "1"
    assert settings["auto_expand_replicas"] == "0-1"
    assert about["mappings"]["dynamic"] == "strict"


# Keys


async def test_a_first_start_makes_a_key_and_later_ones_use_it(open_cluster, tmp_path):
    for _ in range(2):
        store = await opened(open_cluster, tmp_path / "state", encryption_key=None)
        assert (tmp_path / "state" / "encryption.key").stat().st_mode & 0o777 == 0o600
        if not await store.find():
            await store.create(endpoint())
        assert await store.get("e1") == endpoint()
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
    assert await rotated.get("e1") == endpoint()
    await rotated.close()


async def test_two_proxies_with_two_keys_cannot_both_write(open_cluster, tmp_path):
    one = await opened(open_cluster, tmp_path / "one", encryption_key=None)
    other = await opened(open_cluster, tmp_path / "other", encryption_key=None)
    await one.create(endpoint())
    with pytest.raises(KeyMismatch):
        await other.create(endpoint("e2"))
    await one.close()
    await other.close()
