from __future__ import annotations

from typing import Any

import pytest

from proxy.store.elasticsearch.documents import document_of, record_of
from proxy.store.sealed import Keyring, key_id, keys_of
from tests.support.storeconformance import endpoint

KEY = b"k" * 32


def hit_of(**changes: Any) -> dict[str, Any]:
    """A document as a search finds it."""
    return {"_id": "e1", "_source": {**document_of(Keyring(KEY).seal(endpoint())), **changes}}


def test_a_record_comes_back_from_its_document():
    record = Keyring(KEY).seal(endpoint())
    assert record_of({"_id": "e1", "_source": document_of(record)}) == record


@pytest.mark.parametrize(
    "hit",
    [
        {"_id": "e1"},
        {"_id": "e1", "_source": None},
        hit_of(id="e2"),
        hit_of(task_type=5),
        hit_of(key_id=None),
        hit_of(blob="no base64"),
        hit_of(blob=["AAAA"]),
    ],
)
def test_any_other_document_is_a_record_that_no_key_opens(hit):
    record = record_of(hit)
    assert record.inference_id == "e1"
    assert record.blob == b""
    assert not record.names_its_key


def test_only_intact_records_are_signs_of_a_key():
    damaged = record_of(hit_of(key_id="0" * 16))
    assert keys_of([damaged, record_of(hit_of())]) == {key_id(KEY)}
    assert keys_of([damaged]) == set()
