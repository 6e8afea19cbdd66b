"""Notes as documents beside those of endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config import StoreConfig
from proxy.ground.errors import StoreError
from proxy.store.elasticsearch.documents import document_of
from proxy.store.elasticsearch.keycheck import KeyCheck
from proxy.store.elasticsearch.notes import ElasticsearchNotes
from proxy.store.sealed import Keyring
from tests.support.storeconformance import endpoint
from tests.unit.store.elasticsearch.indices import FakeIndex, opened

KEY = "11" * 32
KEYS = Keyring(bytes.fromhex(KEY))


@asynccontextmanager
async def notes_in(fake: FakeIndex, folder: Path) -> AsyncIterator[ElasticsearchNotes]:
    async with opened(fake) as (index, documents):
        keys = KeyCheck(StoreConfig(encryption_key=KEY), folder / "key", index, documents)
        keys.load()
        await documents.put(KEYS.seal(endpoint("e1")))
        yield ElasticsearchNotes(index, documents, keys)


async def test_notes_are_written_read_and_deleted(tmp_path: Path):
    async with notes_in(FakeIndex(exists=False), tmp_path) as notes:
        await notes.write("a", {"n": 1})
        await notes.write("a", {"n": 2})
        assert await notes.read("a") == {"n": 2}
        assert await notes.all() == {"a": {"n": 2}}
        for _ in range(2):
            await notes.delete("a")
        assert await notes.read("a") is None


async def test_a_change_begins_with_what_is_there(tmp_path: Path):
    def risen(content: dict[str, Any]) -> dict[str, Any]:
        return {"n": content["n"] + 1}

    async with notes_in(FakeIndex(), tmp_path) as notes:
        assert await notes.change("a", risen) is None
        assert await notes.change("a", risen, start={"n": 1}) == {"n": 2}
        assert await notes.change("a", risen, start={"n": 1}) == {"n": 3}


async def test_a_change_that_another_overtakes_is_made_anew(tmp_path: Path):
    fake = FakeIndex()
    async with notes_in(fake, tmp_path) as notes:
        await notes.write("a", {"n": 1})
        seen: list[int] = []

        def risen(content: dict[str, Any]) -> dict[str, Any]:
            if not seen:  # another proxy is faster
                fake.documents["a"] = (99, _document({"n": 10}))
            seen.append(content["n"])
            return {"n": content["n"] + 1}

        assert await notes.change("a", risen) == {"n": 11}
        assert seen == [1, 10]


def _document(content: Any) -> dict[str, str]:
    return document_of(KEYS.seal_note("a", content))


async def test_one_that_is_overtaken_all_the_time_fails(tmp_path: Path):
    fake = FakeIndex()
    async with notes_in(fake, tmp_path) as notes:
        await notes.write("a", {"n": 1})

        def change(content: dict[str, Any]) -> dict[str, Any]:
            fake.changes += 1
            fake.documents["a"] = (fake.changes, _document({"n": 1}))
            return content

        with pytest.raises(StoreError, match="changed by others all the time"):
            await notes.change("a", change)


async def test_a_note_that_no_key_opens_is_none(tmp_path: Path):
    fake = FakeIndex()
    async with notes_in(fake, tmp_path) as notes:
        await notes.write("a", {"n": 1})
        fake.documents["a"][1]["blob"] = "AAAA"
        assert await notes.read("a") is None
        assert await notes.all() == {}
