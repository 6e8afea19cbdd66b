"""Whether there is an index, and whether there was one before."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import StoreDamaged, StoreError, StoreMissing
from proxy.store.elasticsearch import index as module
from proxy.store.elasticsearch.failures import IndexUnavailable
from proxy.store.elasticsearch.index import patiently
from tests.support.stubs import json_reply
from tests.unit.store.elasticsearch.indices import PRODUCT, FakeIndex, failure, opened


async def test_an_index_is_made_once_it_is_needed():
    fake = FakeIndex(exists=False)
    async with opened(fake) as (index, _):
        assert not await index.exists()
        assert not index.found
        await index.create()
        assert await index.exists()


async def test_another_proxy_may_make_it_at_the_same_time():
    fake = FakeIndex()
    fake.answers["i"] = failure(400, "resource_already_exists_exception")
    async with opened(fake) as (index, _):
        await index.create()
        assert index.found
        fake.answers["i"] = failure(400, "validation_exception")
        with pytest.raises(StoreError, match="no more shards"):
            await index.create()


async def test_an_index_that_is_gone_is_told_until_it_is_back(caplog: pytest.LogCaptureFixture):
    fake = FakeIndex()
    async with opened(fake) as (index, _):
        assert await index.exists()
        fake.exists = False
        for _ in range(2):
            assert not await index.exists()
        assert index.deletions == 1
        assert caplog.text.count("the index [i] is gone") == 1
        assert isinstance(index.not_found("e"), StoreMissing)
        fake.exists = True
        assert await index.exists()
        assert index.loss is None


async def test_an_answer_from_before_the_first_index_says_nothing():
    async with opened(FakeIndex()) as (index, _):
        await index.exists()
        index.note_missing(found_before=False)
        assert index.found
        assert index.deletions == 0


async def test_an_index_of_somebody_else_is_left_alone():
    fake = FakeIndex()
    fields: dict[str, Any] = {"id": {"text": {}}}
    fake.answers["_field_caps"] = json_reply({"indices": ["i"], "fields": fields}, headers=PRODUCT)
    async with opened(fake) as (index, _):
        with pytest.raises(StoreDamaged, match=r"the field \[id\] is \[text\], not \[keyword\]"):
            await index.exists()


async def test_an_index_that_is_being_made_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PAUSES", (0.0, 0.0))
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise IndexUnavailable("no shard")
        return asked

    assert await patiently(ask) == 3
    asked = -5
    with pytest.raises(IndexUnavailable):
        await patiently(ask)
