"""Keys are handed out once they are known to open what the index holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ConfigError, StoreConfig
from proxy.ground.errors import KeyMismatch
from proxy.store.elasticsearch.documents import Documents, document_of
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.keycheck import KeyCheck
from proxy.store.sealed import Keyring
from tests.support.storeconformance import endpoint
from tests.unit.store.elasticsearch.indices import FakeIndex, opened

KEY, OTHER = "11" * 32, "22" * 32


def holding(*keys: str) -> FakeIndex:
    """An index with one record of each key."""
    fake = FakeIndex()
    for number, key in enumerate(keys):
        record = Keyring(bytes.fromhex(key)).seal(endpoint(f"e{number}"))
        fake.documents[record.inference_id] = (number, document_of(record))
    return fake


def check(config: StoreConfig, folder: Path, index: Index, documents: Documents) -> KeyCheck:
    made = KeyCheck(config, folder / "made" / "key", index, documents)
    made.load()
    return made


@pytest.mark.parametrize("keys", [(), (KEY,), (KEY, OTHER)])
async def test_a_key_that_opens_any_record_is_right(keys: tuple[str, ...], tmp_path: Path):
    async with opened(holding(*keys)) as parts:
        checked = check(StoreConfig(encryption_key=KEY), tmp_path, *parts)
        assert (await checked.keys()).key_id == Keyring(bytes.fromhex(KEY)).key_id


async def test_a_key_that_opens_none_is_refused(tmp_path: Path):
    async with opened(holding(OTHER)) as parts:
        checked = check(StoreConfig(encryption_key=KEY), tmp_path, *parts)
        with pytest.raises(KeyMismatch):
            await checked.keys()


async def test_it_is_checked_once_for_each_index(tmp_path: Path):
    fake = holding(KEY)
    async with opened(fake) as (index, documents):
        checked = check(StoreConfig(encryption_key=KEY), tmp_path, index, documents)
        keys = await checked.keys()
        fake.documents = holding(OTHER).documents
        assert await checked.keys() is keys
        index.note_missing(found_before=True)  # and there is another one
        with pytest.raises(KeyMismatch):
            await checked.keys()


async def test_without_a_key_one_is_made_where_nothing_is_held(tmp_path: Path):
    async with opened(FakeIndex(exists=False)) as parts:
        keys = await check(StoreConfig(), tmp_path, *parts).keys()
        again = await check(StoreConfig(), tmp_path, *parts).keys()
        assert again.key_id == keys.key_id
    async with opened(holding(OTHER)) as parts:
        with pytest.raises(KeyMismatch, match="no key is at hand"):
            await check(StoreConfig(), tmp_path / "elsewhere", *parts).keys()


async def test_a_key_that_cannot_be_kept_is_told(tmp_path: Path):
    (tmp_path / "made").write_text("a file")
    async with opened(FakeIndex()) as parts:
        with pytest.raises((KeyMismatch, ConfigError)):
            await check(StoreConfig(), tmp_path, *parts).keys()
