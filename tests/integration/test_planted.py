"""What others have written into the store's index: it stops nobody."""

from __future__ import annotations

import base64
import json
import os
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientSession

from proxy.ground.errors import EndpointAlreadyExists, KeyMismatch, RecordRefused
from proxy.inference.endpoints import TaskType
from proxy.inference.ports import MAX_REFUSED, Known
from proxy.store.elasticsearch import documents
from proxy.store.elasticsearch import store as stores
from proxy.store.elasticsearch.documents import document_of
from proxy.store.elasticsearch.transport import ANSWER_LIMIT
from proxy.store.sealed import Keyring
from tests.support.clusters import KEY, Cluster, opened
from tests.support.storeconformance import endpoint

OURS, FOREIGN = Keyring(bytes.fromhex(KEY)), Keyring(b"f" * 32)


async def plant(cluster: Cluster, hits: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write documents as somebody with every right on the index does."""
    lines = [json.dumps(line) for _id, source in hits for line in ({"index": {"_id": _id}}, source)]
    async with ClientSession() as session:
        step = 2000 if len(lines) > 100 else 4
        for at in range(0, len(lines), step):
            body = BytesIO(("\n".join(lines[at : at + step]) + "\n").encode())
            async with session.post(
                f"{cluster.url}/{cluster.index}/_bulk?refresh=true",
                data=body,
                headers={"Content-Type": "application/x-ndjson"},
            ) as answer:
                assert not (await answer.json())["errors"]


def sealed(keyring: Keyring, inference_id: str) -> tuple[str, dict[str, Any]]:
    return inference_id, document_of(keyring.seal(endpoint(inference_id)))


def imitation(inference_id: str, size: int = 200) -> tuple[str, dict[str, Any]]:
    """A document that looks like a record of ours, and does not open."""
    blob = bytes([1]) + bytes.fromhex(OURS.key_id) + os.urandom(size)
    fields = {"id": inference_id, "task_type": "rerank", "key_id": OURS.key_id}
    return inference_id, {**fields, "blob": base64.b64encode(blob).decode()}


async def test_a_record_of_a_foreign_key_stops_neither_changes_nor_starts(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint("mine"))
    await plant(open_cluster, [sealed(FOREIGN, "0-planted")])
    await store.create(endpoint("e2"))
    late = await opened(open_cluster, tmp_path)
    await late.create(endpoint("e3"))
    assert "0-planted" not in (await late.check() or "")
    found = await late.find()
    assert [one.inference_id for one in found.endpoints] == ["e2", "e3", "mine"]
    assert found.refused == ("0-planted",)
    with pytest.raises(EndpointAlreadyExists):
        await late.create(endpoint("0-planted"))
    await late.delete("0-planted")
    assert (await late.find()).refused == ()
    await store.close()
    await late.close()


async def test_a_key_that_opens_nothing_is_still_told(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint("mine"))
    with pytest.raises(KeyMismatch):
        await opened(open_cluster, tmp_path, encryption_key="22" * 32)
    await store.close()


async def test_junk_hides_no_endpoint(open_cluster, tmp_path, caplog):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint("mine"))
    junk = [imitation(f"0{n}") for n in range(3000)]
    junk += [sealed(FOREIGN, f"1{n}") for n in range(3000)]
    junk += [(f"2{n}", {}) for n in range(2000)]
    junk += [(f"3{n}", {"id": ["mine", "x"], "key_id": f"{n:016x}"}) for n in range(2000)]
    junk += [(f"no id\n{n}", {"id": "mine", "blob": ["AA==", "BB=="]}) for n in range(2000)]
    await plant(open_cluster, junk)
    await store.update("mine", lambda one: replace(one, task_type=TaskType.COMPLETION))
    await store.create(endpoint("new"))
    caplog.clear()
    for _ in range(2):
        found = await store.find()
        assert [one.inference_id for one in found.endpoints] == ["mine", "new"]
        assert len(found.refused) == MAX_REFUSED
        assert found.more_refused == len(junk) - MAX_REFUSED
        assert found.complete
    assert len(caplog.records) <= 102
    assert await store.check() is not None
    late = await opened(open_cluster, tmp_path)
    assert (await late.get("new")) == Known(endpoint("new"))
    await late.create(endpoint("newer"))
    await store.close()
    await late.close()


async def test_large_documents_take_no_memory(open_cluster, tmp_path):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint("mine"))
    large = [imitation(f"0{n}", 3 * ANSWER_LIMIT) for n in range(8)]
    await plant(open_cluster, large)
    await store.create(endpoint("zzz"))
    tracemalloc.start()
    try:
        found = await store.find()
        assert [one.inference_id for one in found.endpoints] == ["mine", "zzz"]
        assert set(found.refused) == {name for name, _ in large}
        with pytest.raises(RecordRefused):
            await store.get("00")
        with pytest.raises(RecordRefused):
            await store.update("00", lambda one: one)
        await store.check()
        assert tracemalloc.get_traced_memory()[1] < 5 * ANSWER_LIMIT
    finally:
        tracemalloc.stop()
    await store.delete("00")
    await store.close()


async def test_lists_are_read_in_pages(open_cluster, tmp_path, monkeypatch):
    store = await opened(open_cluster, tmp_path)
    await store.create(endpoint("first"))
    names = [f"e{n:04}" for n in range(2 * documents.PAGE + 7)]
    await plant(open_cluster, [sealed(OURS, name) for name in names])
    found = await store.find()
    assert [one.inference_id for one in found.endpoints] == [*names, "first"]
    big = [endpoint(f"b{n:03}").with_service_settings(model_id="x" * 60_000) for n in range(100)]
    await plant(open_cluster, [(one.inference_id, document_of(OURS.seal(one))) for one in big])
    found = await store.find()
    assert len(found.endpoints) == len(names) + 1 + len(big)
    monkeypatch.setattr(stores, "MAX_READ", 100)
    assert not (await store.find()).complete
    await store.close()
