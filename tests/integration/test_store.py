"""The Elasticsearch store against real ones: open, secured, and of older versions."""

from __future__ import annotations

import asyncio
import base64
import itertools
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from demo.elasticsearch import start
from proxy.config import StoreConfig, UpstreamConfig
from proxy.errors import EndpointNotFound, StoreError
from proxy.store import KeyMismatch, StoreOverloaded, served_stale
from proxy.store.cached import CachedStore
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.store.sealed import Keyring
from tests.security import wait_until_settled
from tests.storeconformance import TOKEN, StoreConformance, Stored, endpoint, with_token
from tests.users import USERS, basic

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
        credentials: dict[str, Any] = STORE_USER if self.secured else {}
        return UpstreamConfig(url=self.url, **credentials)

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
    wait_until_settled(secured_elasticsearch.url)
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


# Failures, as real Elasticsearch has them


async def blocked(cluster: Cluster, setting: str, value: str | bool | None) -> None:
    await cluster.call("PUT", f"/{cluster.index}/_settings", {setting: value})


@pytest.mark.parametrize(
    ("setting", "kind", "status"),
    [
        ("index.blocks.read_only_allow_delete", StoreOverloaded, 429),  # what flood stage sets
        ("index.blocks.write", StoreError, 503),
    ],
)
async def test_a_block_stops_changes_and_no_reads(open_cluster, tmp_path, setting, kind, status):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await blocked(open_cluster, setting, True)
    for change in (store.create(endpoint("e2")), store.update("e1", with_token("new"))):
        with pytest.raises(kind) as error:
            await change
        assert error.value.status == status
        assert "e2" not in str(error.value)
    assert await store.get("e1") == endpoint()
    assert await store.find() == [endpoint()]
    await blocked(open_cluster, setting, None)
    await store.create(endpoint("e2"))
    await store.close()


async def test_a_read_only_cluster_stops_changes_and_no_reads(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint())
    await open_cluster.call(
        "PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": True}}
    )
    try:
        with pytest.raises(StoreError, match="is blocked or closed: remove the block") as error:
            await store.delete("e1")
        assert error.value.status == 503
        assert await store.get("e1") == endpoint()
    finally:
        await open_cluster.call(
            "PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": None}}
        )
    await store.delete("e1")
    await store.close()


async def test_a_red_index_is_503_and_nothing_of_it_is_told(open_cluster, tmp_path, caplog):
    caplog.set_level("DEBUG")
    settings = {"index.routing.allocation.require._name": "no-such-node"}
    await open_cluster.call(
        "PUT", f"/{open_cluster.index}?wait_for_active_shards=0", {"settings": settings}
    )
    store = ElasticsearchStore(
        open_cluster.upstream(), open_cluster.config(timeout=2.0), folder=tmp_path
    )
    await store.open()  # it starts all the same
    for call in (
        store.get("e1"),
        store.find(),
        store.create(endpoint()),
        store.update("e1", with_token("new")),
        store.delete("e1"),
    ):
        with pytest.raises(StoreError) as error:
            await call
        assert error.value.status == 503
        assert "source" not in str(error.value)
    # A write behind the check of the key: Elasticsearch's own error quotes the document.
    store._is_checked = True
    with pytest.raises(StoreError) as error:
        await store._create_document(Keyring(b"k" * 32).seal(endpoint()))
    assert "blob" not in caplog.text
    assert "source" not in caplog.text
    assert "unavailable_shards_exception" in caplog.text
    await store.close()


async def test_credentials_that_lack_rights_are_told_from_those_that_are_wrong(
    secured_cluster, tmp_path
):
    nobody: dict[str, Any] = {"username": "nobody", "password": USERS["nobody"][0]}
    wrong: dict[str, Any] = {"username": "nobody", "password": "wrong"}
    for credentials, text in (
        (nobody, rf"credentials lack rights on the index \[{secured_cluster.index}\]"),
        (wrong, "refuses the proxy's own credentials"),
        ({}, "asks the proxy for credentials of its own"),
        ({"api_key": "bm90OmFrZXk="}, "refuses the proxy's own credentials"),
    ):
        upstream = UpstreamConfig(url=secured_cluster.url, **credentials)
        store = ElasticsearchStore(upstream, secured_cluster.config(), folder=tmp_path)
        await store.open()
        for call in (store.get("e1"), store.find(), store.create(endpoint())):
            with pytest.raises(StoreError, match=text) as error:
                await call
            assert error.value.status == 503
        await store.close()


async def test_an_api_key_is_enough(secured_cluster, tmp_path):
    rights = {"names": [secured_cluster.index], "privileges": STORE_PRIVILEGES}
    body = {"name": "store", "role_descriptors": {"store": {"indices": [rights]}}}
    key = await secured_cluster.call("POST", "/_security/api_key", body)
    upstream = UpstreamConfig(url=secured_cluster.url, api_key=key["encoded"])
    store = ElasticsearchStore(upstream, secured_cluster.config(), folder=tmp_path)
    await store.open()
    await store.create(endpoint())
    assert await store.find() == [endpoint()]
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
    assert not (tmp_path / "state").exists()  # no key before it is known that none is needed
    with pytest.raises(StoreError, match="cannot be reached") as error:
        await store.get("e1")
    assert str(unused_tcp_port) not in str(error.value)
    with pytest.raises(StoreError):
        await store.create(endpoint())
    async with relay(unused_tcp_port, open_cluster.url):
        with pytest.raises(EndpointNotFound):
            await store.get("e1")
        await store.create(endpoint())
        assert await store.get("e1") == endpoint()
        assert not served_stale.get()
    assert await store.get("e1") == endpoint()
    assert served_stale.get()
    with pytest.raises(StoreError):
        await store.find()
    async with relay(unused_tcp_port, open_cluster.url):
        assert await store.find() == [endpoint()]
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
    async with relay(unused_tcp_port, open_cluster.url):
        for call in (late.get("e1"), late.find(), late.create(endpoint("e2"))):
            with pytest.raises(KeyMismatch):
                await call
    await late.close()


@asynccontextmanager
async def relay(port: int, url: str):
    """The cluster at another port for a while; its end cuts every connection."""
    target = URL(url)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection(target.host, target.port)
        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            inner_writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
