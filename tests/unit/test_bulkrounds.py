"""What the torture of bulks takes for a fault."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.embedder import vector_of
from tests.torture.bulkrounds import faults
from tests.torture.bulks import ENDPOINT, PIPED, SEMANTIC, Item, Ledger


def semantic(text: str, *, of: str | None = None) -> dict[str, Any]:
    chunk = {"start": 0, "end": len(text), "embeddings": vector_of(of or text)}
    return {"body": text, "xinf": {"body": {"chunks": [chunk]}}}


def piped(text: str, **more: Any) -> dict[str, Any]:
    found = {"body": text, "vector": vector_of(text), "model_id": ENDPOINT, "passed": True}
    return {**found, **more}


def written(text: str, *, document_id: str | None = "1") -> Item:
    return Item(action="index", index=SEMANTIC, id=document_id, text=text)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([("1", semantic("new"))], None),
        ([("1", semantic("newer"))], None),
        ([], "should be"),
        ([("1", semantic("old"))], "should be"),
        ([("1", {"body": "new"})], "its chunks are not"),
        ([("1", semantic("new", of="old"))], "of another text"),
        ([("1", semantic("new")), ("2", semantic("stranger"))], "nobody has sent"),
    ],
)
def test_what_was_acknowledged_is_there_with_its_vectors(stored, expected):
    ledger = Ledger()
    ledger.doubt(written("old"))
    ledger.acknowledge(written("new"))
    ledger.doubt(written("newer"))
    found = list(faults([(SEMANTIC, *one) for one in stored], ledger))
    assert [expected in one for one in found] == ([] if expected is None else [True])


@pytest.mark.parametrize(
    ("count", "is_known", "expected"), [(1, True, 0), (0, True, 1), (2, False, 1), (0, False, 0)]
)
def test_what_is_sent_once_is_there_once(count, is_known, expected):
    ledger = Ledger()
    (ledger.acknowledge if is_known else ledger.doubt)(written("text", document_id=None))
    stored = [(SEMANTIC, f"made-{number}", semantic("text")) for number in range(count)]
    assert len(list(faults(stored, ledger))) == expected


@pytest.mark.parametrize(
    ("more", "is_right"),
    [
        ({}, True),
        ({"vector": [*vector_of("text"), vector_of("text")]}, False),
        ({"model_id": [ENDPOINT, ENDPOINT]}, False),
        ({"passed": None}, False),
    ],
)
def test_pipelines_run_once(more, is_right):
    ledger = Ledger()
    ledger.acknowledge(Item(action="index", index=PIPED, id="1", text="text"))
    assert (not list(faults([(PIPED, "1", piped("text", **more))], ledger))) is is_right
