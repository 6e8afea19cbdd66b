"""`_inference_fields` of a document, made of what the layer keeps in it."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.semantic.fields import SemanticField
from proxy.semantic.inferencefields import inference_fields, rendered, shows_inference_fields
from proxy.semantic.sourcefilters import filter_in_body
from proxy.semantic.upstreamrelease import UpstreamRelease
from tests.unit.semantic.stubs import NoUpstream
from tests.unit.semantic.targets import semantic_field

CHUNK: Final = {"field": "o.a", "start": 0, "end": 3, "embeddings": [1.0]}
OFFSETS: Final = {"start_offset": 0, "end_offset": 3, "embeddings": [1.0]}
FIELDS: Final = {"o.a": semantic_field("o.a", "embed")}


def shown(field: SemanticField) -> Any:
    return rendered({"o:a": {"chunks": [CHUNK]}}, {"o.a": field})["o.a"]["inference"]


def test_chunks_are_shown_by_their_source():
    chunks = [CHUNK, {**CHUNK, "field": "b"}]
    made = rendered({"o:a": {"chunks": chunks}, "gone": {"chunks": chunks}}, FIELDS)
    assert made.keys() == {"o.a"}
    inference = made["o.a"]["inference"]
    assert inference["inference_id"] == "embed"
    assert inference["model_settings"]["dimensions"] == 3
    assert inference["chunks"] == {"o.a": [OFFSETS], "b": [OFFSETS]}


def test_only_what_the_field_has_is_shown():
    assert "model_settings" not in shown(semantic_field("o.a", model=None))
    settings = {"strategy": "none"}
    cut = semantic_field("o.a", definition={"chunking_settings": settings})
    assert shown(cut)["chunking_settings"] == settings


@pytest.mark.parametrize("added", [None, [], {"o:a": None}, {"o:a": {"chunks": []}}])
def test_a_document_without_chunks_shows_nothing(added: Any):
    assert rendered(added, FIELDS) == {}


def test_what_a_filter_has_left_nothing_of_is_not_shown():
    for name in CHUNK:
        left = {key: value for key, value in CHUNK.items() if key != name}
        assert rendered({"o:a": {"chunks": [left]}}, FIELDS) == {}


def test_it_takes_the_place_of_what_is_kept_in_the_indexs_documents():
    replacement = inference_fields({"a": FIELDS})
    added = orjson.dumps({"o:a": {"chunks": [CHUNK]}})
    made = replacement("a", added)
    assert made is not None
    assert made.startswith(b'"_inference_fields":{"o.a"')
    assert replacement("other", added) is None
    assert replacement("a", b"{}") is None


class Upstream(NoUpstream):
    def __init__(self, version: str) -> None:
        self.told = version

    async def version(self) -> str:
        return self.told


@pytest.mark.parametrize(("version", "shows"), [("9.1.0", False), ("9.2.1", True)])
async def test_a_filter_shows_them_by_their_name_where_the_release_does(version: str, shows: bool):
    release = UpstreamRelease(Upstream(version))
    assert await shows_inference_fields(filter_in_body(["_inference_fields"]), release) is shows
    assert await shows_inference_fields(filter_in_body({"exclude_vectors": False}), release)
    assert not await shows_inference_fields(filter_in_body(["a"]), release)
    assert not await shows_inference_fields(filter_in_body(3), release)
