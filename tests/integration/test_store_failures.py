"""Failures of the store in a real Elasticsearch: each is named, and needs no restart afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, encode_basic_auth

from proxy.config import UpstreamConfig
from proxy.ground.errors import (
    EndpointNotFound,
    StoreDamaged,
    StoreError,
    StoreMissing,
    StoreOverloaded,
)
from proxy.inference.ports import Known, Listing
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.store.elasticsearch.connection import Connection
from proxy.store.elasticsearch.documents import Documents
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.mapping import FIELDS, MAPPINGS
from proxy.store.sealed import Keyring
from tests.support.clusters import (
    STORE_PRIVILEGES,
    STORE_USER,
    Cluster,
    deleting_the_index_before_changes,
    opened,
)
from tests.support.storeconformance import (
    TOKEN,
    Remembering,
    as_a_proxy_has_it,
    assert_fails,
    assert_read_only,
    assert_unusable,
    assert_usable,
    changes,
    endpoint,
    with_token,
)
from tests.support.stubs import FaultyServer, contract_reply
from tests.support.users import USERS

ONE_SHARD = {"index": {"number_of_shards": 1, "number_of_replicas": 0}}


@pytest.fixture
async def inner(cluster: Cluster, tmp_path: Any):
    inner = await opened(cluster, tmp_path, timeout=3.0)
    await inner.create(endpoint())
    yield inner
    await inner.close()


@pytest.fixture
async def store(inner: ElasticsearchStore) -> Remembering:
    return await as_a_proxy_has_it(inner)


async def close(cluster: Cluster) -> None:
    await cluster.call("POST", f"/{cluster.index}/_close")


async def open_again(cluster: Cluster) -> None:
    await cluster.call("POST", f"/{cluster.index}/_open")


async def make_red(cluster: Cluster) -> None:
    """Create an index whose shard no node may hold."""
    settings = {"index.routing.allocation.require._name": "no-such-node"}
    body = {"settings": settings, "mappings": MAPPINGS}
    await cluster.call("PUT", f"/{cluster.index}?wait_for_active_shards=0", body)


async def count(cluster: Cluster, index: str = "") -> int:
    index = index or cluster.index
    await cluster.call("POST", f"/{index}/_refresh")
    return int((await cluster.call("GET", f"/{index}/_count"))["count"])


async def mapping(cluster: Cluster) -> Any:
    found = await cluster.call("GET", f"/{cluster.index}/_mapping")
    return [about["mappings"] for about in found.values()]


def is_stopped(process: int) -> bool:
    """Whether all its threads are: a signal that was sent has not arrived at each yet."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}
    return states == {"T"}


class _Failures:
    """Subclasses bring the fixture `cluster`."""

    @pytest.mark.parametrize(
        ("setting", "kind", "status", "text"),
        [
            # What Elasticsearch sets at the flood stage of a disk.
            ("blocks__read_only_allow_delete", StoreOverloaded, 429, "almost full: free space"),
            ("blocks__write", StoreError, 503, "is blocked or closed: remove the block"),
            ("blocks__read_only", StoreError, 503, "is blocked or closed: remove the block"),
        ],
    )
    async def test_a_block_stops_changes_and_no_reads(
        self, cluster, store, setting, kind, status, text
    ):
        await cluster.set(**{setting: True})
        await assert_read_only(store, kind, status, text)
        await cluster.set(**{setting: None})
        await assert_usable(store)

    async def test_a_block_of_reads_stops_all_but_inference(self, cluster, store):
        await cluster.set(blocks__read=True)
        await assert_unusable(store, StoreError, 503, "is blocked or closed: remove the block")
        await cluster.set(blocks__read=None)
        await assert_usable(store)

    @pytest.mark.alone  # changes the whole cluster
    async def test_a_read_only_cluster_stops_changes_and_no_reads(self, cluster, store):
        await cluster.set_cluster("cluster.blocks.read_only", True)
        try:
            await assert_read_only(store, StoreError, 503, "GET /_cluster/settings shows")
        finally:
            await cluster.set_cluster("cluster.blocks.read_only", None)
        await assert_usable(store)

    async def test_a_closed_index_stops_all_but_inference(self, cluster, store):
        await close(cluster)
        await assert_unusable(store, StoreError, 503, rf"POST /{cluster.index}/_open")
        await open_again(cluster)
        await assert_usable(store)

    async def test_a_red_index_stops_all_but_inference(self, cluster, store, caplog):
        caplog.set_level("DEBUG")
        await cluster.call("DELETE", f"/{cluster.index}")
        await make_red(cluster)
        text = "No shard of the index .* is available: GET /_cluster/allocation/explain tells why"
        await assert_unusable(store, StoreError, 503, text)
        assert "blob" not in caplog.text
        assert "source" not in caplog.text
        await cluster.set(routing__allocation__require___name=None)
        await cluster.call("GET", f"/_cluster/health/{cluster.index}?wait_for_status=yellow")
        await store.create(endpoint("e2"))
        assert await store.find() == Listing([endpoint("e2")])

    async def test_an_error_that_quotes_the_document_is_not_passed_on(
        self, cluster, tmp_path, caplog
    ):
        caplog.set_level("DEBUG")
        await make_red(cluster)
        connection = Connection(cluster.upstream(), cluster.config(timeout=3.0))
        connection.open()
        record = Keyring(b"k" * 32).seal(endpoint())
        with pytest.raises(StoreError) as error:
            await Documents(connection, Index(connection)).create(record)
        assert "unavailable_shards_exception" in caplog.text
        for text in (str(error.value), caplog.text):
            assert "source" not in text
            assert record.key_id not in text
        await connection.close()

    @pytest.mark.alone  # changes the whole cluster
    async def test_memory_that_is_short_is_told(self, cluster, store):
        await cluster.set_cluster("network.breaker.inflight_requests.limit", "1b")
        try:
            create = store.create(endpoint("e2"))
            await assert_fails(create, StoreOverloaded, 429, "short of memory: try again later")
            assert await store.get("e1") == Known(endpoint())
        finally:
            await cluster.set_cluster("network.breaker.inflight_requests.limit", None)
        await assert_usable(store)

    # An index that is gone

    async def test_an_index_deleted_meanwhile_stops_no_inference(self, cluster, store, caplog):
        await cluster.call("DELETE", f"/{cluster.index}")
        for _ in range(3):
            assert await store.get("e1") == Known(endpoint(), stale=True)
        assert await store.find() == Listing([])
        with pytest.raises(StoreMissing) as lost:
            await store.get("e2")
        assert lost.value.status == 404
        assert lost.value.reason == "Inference endpoint not found [e2]"
        assert "is gone" in lost.value.extra["hint"]
        assert "restore it from a snapshot, or create them again" in lost.value.extra["hint"]
        assert caplog.text.count(f"the index [{cluster.index}] is gone") == 1
        for change in (store.update("e2", with_token("new")), store.delete("e2")):
            with pytest.raises(EndpointNotFound):
                await change
        await cluster.call("GET", f"/{cluster.index}", expect=404)

    async def test_a_change_makes_a_deleted_index_again_as_it_was(self, cluster, store):
        await cluster.call("DELETE", f"/{cluster.index}")
        await store.create(endpoint("e2"))
        await cluster.assert_as_made()
        assert await store.find() == Listing([endpoint("e2")])
        with pytest.raises(EndpointNotFound) as missing:  # the new index does not have it
            await store.get("e1")
        assert "hint" not in missing.value.extra

    @pytest.mark.parametrize("change", ["create", "update"])
    async def test_an_index_deleted_under_a_change_is_not_made_by_elasticsearch(
        self, cluster, inner, tmp_path, change
    ):
        """At the worst moment: after the index was checked, and before the document arrives."""
        async with deleting_the_index_before_changes(cluster) as upstream:
            racing = ElasticsearchStore(upstream, cluster.config(), folder=tmp_path)
            await racing.open()
            call = (
                racing.create(endpoint("e2"))
                if change == "create"
                else racing.update("e1", with_token("new"))
            )
            await assert_fails(call, StoreDamaged, 500, "is not as the proxy makes it")
            await racing.close()
        assert await count(cluster) == 0
        assert not (await mapping(cluster))[0].get("properties")
        text = r"the field \[id\] is missing, not \[keyword\].*Delete it if nothing in it is needed"
        await assert_fails(inner.create(endpoint("e2")), StoreDamaged, 500, text)
        await cluster.call("DELETE", f"/{cluster.index}")
        await inner.create(endpoint("e2"))
        await cluster.assert_as_made()

    @pytest.mark.alone  # changes the whole cluster
    async def test_an_index_that_elasticsearch_does_not_make_is_told(self, cluster, store):
        await cluster.call("DELETE", f"/{cluster.index}")
        other = f"{cluster.index}-other"  # so that the cluster has a shard at all
        await cluster.call("PUT", f"/{other}?wait_for_active_shards=0", {"settings": ONE_SHARD})
        try:
            await cluster.set_cluster("cluster.max_shards_per_node", 1)
            create = store.create(endpoint("e2"))
            await assert_fails(create, StoreError, 503, "may hold no more shards: delete indices")
        finally:
            await cluster.set_cluster("cluster.max_shards_per_node", None)
            await cluster.call("DELETE", f"/{other}")
        await store.create(endpoint("e2"))

    # An index that is not ours

    @pytest.mark.parametrize(
        ("properties", "text"),
        [
            ({"id": {"type": "text"}}, r"the field \[id\] is \[text\], not \[keyword\]"),
            ({"blob": {"type": "keyword"}}, r"the field \[blob\] is \[keyword\], not \[binary\]"),
            ({"key_id": {"type": "long"}}, r"the field \[key_id\] is \[long\], not \[keyword\]"),
            ({"task_type": None}, r"the field \[task_type\] is missing, not \[keyword\]"),
        ],
    )
    async def test_an_index_made_by_hand_is_left_alone(self, cluster, tmp_path, properties, text):
        fields = {name: {"type": kind} for name, kind in FIELDS.items()} | properties
        fields = {name: field for name, field in fields.items() if field is not None}
        await cluster.call(
            "PUT", f"/{cluster.index}", {"mappings": {"properties": {**fields, "x": fields["id"]}}}
        )
        await self._is_left_alone(cluster, tmp_path, text)

    async def test_another_programs_index_is_left_alone(self, cluster, tmp_path):
        for name in ("e1", "e2"):
            await cluster.call("PUT", f"/{cluster.index}/_doc/{name}?refresh=true", {"id": name})
        await self._is_left_alone(cluster, tmp_path, r"\[id\] is \[text\].*\[blob\] is missing")

    async def test_an_alias_of_several_indices_is_left_alone(self, cluster, tmp_path):
        parts = [f"{cluster.index}-part-{n}" for n in range(2)]
        try:
            for part in parts:
                body = {"aliases": {cluster.index: {}}, "mappings": MAPPINGS}
                await cluster.call("PUT", f"/{part}", body)
            await self._is_left_alone(cluster, tmp_path, "it is an alias of several indices")
        finally:
            await cluster.call("DELETE", f"/{','.join(parts)}")

    async def _is_left_alone(self, cluster: Cluster, tmp_path: Any, text: str) -> None:
        fields, documents = await mapping(cluster), await count(cluster)
        store = await opened(cluster, tmp_path)
        calls = (store.get("e1"), store.find(), *changes(store))
        for call in calls:
            await assert_fails(call, StoreDamaged, 500, rf"\[{cluster.index}\] is not.*{text}")
        assert (await mapping(cluster), await count(cluster)) == (fields, documents)
        await store.close()

    async def test_an_index_put_in_the_place_of_ours_is_left_alone(self, cluster, store):
        await cluster.call("DELETE", f"/{cluster.index}")
        await cluster.call("PUT", f"/{cluster.index}/_doc/e1?refresh=true", {"id": "mine"})
        for call in (store.find(), *changes(store)):
            await assert_fails(call, StoreDamaged, 500, r"the field \[id\] is \[text\]")
        assert (await cluster.call("GET", f"/{cluster.index}/_doc/e1"))["_version"] == 1

    async def test_an_alias_of_one_index_like_ours_will_do(self, cluster, tmp_path):
        part = f"{cluster.index}-part"
        body = {"aliases": {cluster.index: {}}, "mappings": MAPPINGS}
        await cluster.call("PUT", f"/{part}", body)
        try:
            store = await opened(cluster, tmp_path)
            await store.create(endpoint())
            await store.update("e1", with_token("new"))
            assert await store.find() == Listing([with_token("new")(endpoint())])
            await store.delete("e1")
            await store.close()
        finally:
            await cluster.call("DELETE", f"/{part}")


class TestNow(_Failures):
    @pytest.fixture
    def cluster(self, open_cluster):
        return open_cluster


@pytest.mark.parametrize("older", ["8.19.8", "7.17.9"], indirect=True, scope="module")
class TestOlder(_Failures):
    @pytest.fixture
    def cluster(self, older_cluster):
        return older_cluster

    @pytest.mark.alone  # stops the whole cluster
    async def test_a_node_that_hangs_stops_all_but_inference(self, older, cluster, store):
        """Only with these nodes, which no other test needs."""
        os.killpg(older.pid, signal.SIGSTOP)
        try:
            while not is_stopped(older.pid):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            text = r"did not answer within \[3\] seconds"
            await assert_unusable(store, StoreError, 503, text)
        finally:
            os.killpg(older.pid, signal.SIGCONT)
        await cluster.call("GET", "/_cluster/health?wait_for_events=languid")
        await assert_usable(store)


async def test_callers_go_on_without_the_index(serve, open_cluster):
    """With a whole proxy, as users start it."""
    env = {"HFPROXY_STORE_INDEX": open_cluster.index, "HFPROXY_STORE_FRESHNESS": "0"}
    proxy = serve(upstream=open_cluster.url, env=env)
    async with FaultyServer(contract_reply) as provider, ClientSession(proxy.url) as caller:
        settings = {"api_key": TOKEN, "url": f"{provider.url}/v1/chat/completions"}
        body = {"service": "hugging_face", "service_settings": settings}
        assert (await caller.put("/_inference/completion/e1", json=body)).status == 200
        assert (await caller.post("/_inference/e1", json={"input": "x"})).status == 200
        await open_cluster.call("DELETE", f"/{open_cluster.index}")

        used = await caller.post("/_inference/e1", json={"input": "x"})
        assert used.status == 200
        assert "the endpoint store cannot be used" in used.headers["Warning"]
        missing = await caller.post("/_inference/e2", json={"input": "x"})
        assert missing.status == 404
        error = (await missing.json())["error"]
        assert error["reason"] == "Inference endpoint not found [e2]"
        assert "is gone" in error["hint"]

        assert (await caller.put("/_inference/completion/e2", json=body)).status == 200
        await open_cluster.assert_as_made()
        assert (await caller.post("/_inference/e1", json={"input": "x"})).status == 404
    assert f"the index [{open_cluster.index}] is gone" in proxy.output
    assert TOKEN not in proxy.output


# The proxy's own credentials


@pytest.fixture
async def kept(secured_cluster: Cluster, tmp_path: Any):
    """A store that knows an endpoint, and whose user has just the documented privileges."""
    inner = await opened(secured_cluster, tmp_path)
    await inner.create(endpoint())
    store = await as_a_proxy_has_it(inner)
    yield store
    await store.close()


def of(cluster: Cluster, **more: Any) -> dict[str, Any]:
    return {"indices": [{"names": [f"{cluster.index}*"], "privileges": more["privileges"]}]}


async def test_rights_taken_away_are_named_with_who_lacks_them(secured_cluster, kept):
    role = "/_security/role/endpoint-store"
    text = (
        rf"lack rights on the index \[{secured_cluster.index}\]: give \[upstream.username\] and "
        r"\[upstream.password\] the privileges \[read, write, create_index\]"
    )
    await secured_cluster.call("PUT", role, of(secured_cluster, privileges=["read"]))
    await assert_read_only(kept, StoreError, 503, text)
    await secured_cluster.call("PUT", role, of(secured_cluster, privileges=["monitor"]))
    await assert_unusable(kept, StoreError, 503, text)
    await secured_cluster.call("PUT", role, of(secured_cluster, privileges=STORE_PRIVILEGES))
    await assert_usable(kept)


async def test_a_password_changed_elsewhere_is_told(secured_cluster, kept):
    user = f"/_security/user/{STORE_USER['username']}"
    await secured_cluster.call("PUT", f"{user}/_password", {"password": "another-password"})
    await old_password_refused(secured_cluster)
    text = (
        r"refuses the proxy's own credentials: \[upstream.username\] and \[upstream.password\] "
        rf"must be valid, with the privileges .* on the index \[{secured_cluster.index}\]"
    )
    await assert_unusable(kept, StoreError, 503, text)
    await secured_cluster.call("PUT", f"{user}/_password", {"password": STORE_USER["password"]})
    await assert_usable(kept)


async def old_password_refused(cluster: Cluster) -> None:
    """Wait until Elasticsearch has forgotten it: nodes remember passwords for a moment."""
    login = encode_basic_auth(STORE_USER["username"], STORE_USER["password"])
    headers = {"Authorization": login}
    async with asyncio.timeout(30), ClientSession(cluster.url, headers=headers) as user:
        while (await user.get("/_security/_authenticate")).status != 401:  # noqa: ASYNC110 - it tells
            await asyncio.sleep(0.1)


async def test_an_api_key_revoked_elsewhere_is_told(secured_cluster, tmp_path):
    rights = {"store": of(secured_cluster, privileges=STORE_PRIVILEGES)}
    body = {"name": "store", "role_descriptors": rights}
    key = await secured_cluster.call("POST", "/_security/api_key", body)
    upstream = UpstreamConfig(url=secured_cluster.url, api_key=key["encoded"])
    inner = ElasticsearchStore(upstream, secured_cluster.config(), folder=tmp_path)
    await inner.open()
    await inner.create(endpoint())
    store = await as_a_proxy_has_it(inner)
    await secured_cluster.call("DELETE", "/_security/api_key", {"ids": [key["id"]]})
    await assert_unusable(store, StoreError, 503, r"own credentials: \[upstream.api_key\] must be")
    await store.close()


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ({"username": "nobody", "password": USERS["nobody"][0]}, "lack rights on the index"),
        ({"username": "nobody", "password": "wrong"}, r"\[upstream.password\] must be valid"),
        ({"api_key": "bm90OmFrZXk="}, r"\[upstream.api_key\] must be valid"),
        ({}, r"asks the proxy for credentials of its own: set \[upstream.api_key\], or"),
    ],
)
async def test_a_start_with_the_wrong_credentials_is_told(
    secured_cluster, tmp_path, credentials, text, caplog
):
    upstream = UpstreamConfig(url=secured_cluster.url, **credentials)
    store = ElasticsearchStore(upstream, secured_cluster.config(), folder=tmp_path)
    await store.open()
    assert "starting all the same" in caplog.text
    for call in (store.get("e1"), store.find(), *changes(store)):
        await assert_fails(call, StoreError, 503, text)
    await store.close()
    for secret in credentials.values():
        assert secret == "nobody" or secret not in caplog.text
