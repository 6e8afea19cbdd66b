"""Every case of chunking: settings and a text, with the offsets of its chunks in UTF-16 units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from proxy.ground.errors import ProxyError
from proxy.inference.chunking import ChunkingSettings, parse_chunking
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.offsets import Chunk
from proxy.semantic.chunking.values import covering, slots
from tests.contract.casefiles import load_cases

CASES: Final = load_cases("chunking-cases.jsonl")
RIGHT: Final = [case for case in CASES.values() if "expected" in case]
WRONG: Final = [case for case in CASES.values() if "expected_error" in case]


def settings_of(case: Mapping[str, Any]) -> ChunkingSettings | None:
    """The settings of a case; those marked as direct are not validated."""
    given = case["settings"]
    if given is None:
        return None
    if case.get("direct"):
        return ChunkingSettings(**{"sentence_overlap": None, **given})
    return parse_chunking(given)


def shown(chunks: Sequence[Chunk]) -> list[dict[str, int]]:
    return [{"start": chunk.start, "end": chunk.end} for chunk in chunks]


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case["id"])
def test_offsets(case):
    chunks = chunker_for(settings_of(case)).chunks(case["text"])
    if "stage" in case:
        assert len(chunks) == case["inference_inputs"]
        chunks = [covering(chunks, slot) for slot in slots(len(chunks))]
    assert shown(chunks) == case["expected"]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case["id"])
def test_errors(case):
    with pytest.raises(ProxyError) as raised:
        chunker_for(settings_of(case))
    expected = case["expected_error"]
    # The cases are of 9.5; the releases before it say `must be a greater than`.
    reason = raised.value.reason.replace("must be a greater", "must be greater")
    reason = reason.replace("must be a less", "must be less")
    assert {"type": raised.value.type, "reason": reason} == expected
