"""The index, looked at without a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import StoreError
from proxy.store.elasticsearch.documents import document_of
from proxy.store.elasticsearch.failures import PRIVILEGES
from proxy.store.elasticsearch.inspection import ElasticsearchInspection
from proxy.store.sealed import Keyring
from tests.support.storeconformance import endpoint
from tests.support.stubs import FaultyServer, Reply, json_reply
from tests.unit.store.elasticsearch.indices import PRODUCT, FakeIndex, failure

RECORD = Keyring(bytes(32)).seal(endpoint())


async def looked(fake: FakeIndex, folder: Path, question: str) -> Any:
    async with FaultyServer(fake) as server:
        inspection = ElasticsearchInspection(
            UpstreamConfig(url=server.url), StoreConfig(index="i"), folder=folder
        )
        inspection.open()
        try:
            found = await getattr(inspection, question)()
        finally:
            await inspection.close()
        assert {call.method for call in server.calls} <= {"GET", "POST"}
        assert not any("_bulk" in call.path for call in server.calls)
        return found


async def test_there_may_be_no_index_yet(tmp_path: Path):
    assert await looked(FakeIndex(exists=False), tmp_path, "records") is None
    assert await looked(FakeIndex(), tmp_path, "records") == []


async def test_its_records_are_seen(tmp_path: Path):
    fake = FakeIndex()
    fake.documents["e1"] = (1, document_of(RECORD))
    assert await looked(fake, tmp_path, "records") == [RECORD]


def privileges(**granted: bool) -> Reply:
    found = {name: granted.get(name, True) for name in PRIVILEGES}
    return json_reply({"index": {"i": found}}, headers=PRODUCT)


async def test_what_its_credentials_may_do(tmp_path: Path):
    fake = FakeIndex()
    fake.answers["_has_privileges"] = privileges(write=False)
    found = await looked(fake, tmp_path, "rights")
    assert found == {"read": True, "write": False, "create_index": True}
    fake.answers["_has_privileges"] = failure(405, "x")  # no security
    assert await looked(fake, tmp_path, "rights") == {}


@pytest.mark.parametrize("reply", [json_reply({}, headers=PRODUCT), failure(401, "x")])
async def test_an_answer_that_is_none(reply: Reply, tmp_path: Path):
    fake = FakeIndex()
    fake.answers["_has_privileges"] = reply
    with pytest.raises(StoreError):
        await looked(fake, tmp_path, "rights")
