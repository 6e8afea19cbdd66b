"""Which vectors a document has, and which it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.transfer.fields import (
    Measure,
    complete,
    declared_fields,
    inference_ids,
    with_endpoints,
)
from tests.unit.semantic.transfer.peer import MAPPING

FIELDS = declared_fields(MAPPING)
MODEL = {"dimensions": 1}


def given(field: str, *sources: str, **more: Any) -> dict[str, Any]:
    chunk = {"start_offset": 0, "end_offset": 1, "embeddings": [1.0]}
    chunks = {source: [chunk] for source in sources}
    return {field: {"inference": {"inference_id": "e", "chunks": chunks, **more}}}


def test_fields_are_found_with_what_they_are_made_of() -> None:
    found = {one.path: one.sources for one in FIELDS}
    assert found == {
        "body": ("body", "title"),
        "memo.meaning": ("memo",),
        "deep.er": ("deep.er",),
    }


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (None, "endpoint [e]"),
        ({"dimensions": 3, "similarity": "cosine"}, "endpoint [e], 3 dimensions, cosine"),
        ({"task_type": "sparse_embedding"}, "endpoint [e], sparse"),
    ],
)
def test_fields_are_shown_in_a_word_or_two(settings: Any, shown: str) -> None:
    field = {"type": "semantic_text", "inference_id": "e", "model_settings": settings}
    (found,) = declared_fields({"properties": {"body": field}})
    assert found.shown == shown


@pytest.mark.parametrize(
    ("source", "inference"),
    [
        ({"body": "a"}, {}),
        ({"body": "a", "title": "b"}, given("body", "body")),
        ({"title": "b"}, given("body", "body")),
        ({"memo": "a"}, given("body", "body")),
        ({"deep": {"er": ["", "a"]}}, {}),
        ({"body": 7}, {}),
        ({"body": "a"}, {"body": {"inference": {"chunks": {"body": [{"start_offset": 0}]}}}}),
        ({"body": "a"}, {"body": None}),
        ({"body": "a"}, {"body": {"inference": {"chunks": {"body": []}}}}),
    ],
)
def test_a_document_that_lacks_a_vector_brings_none(source: Any, inference: Any) -> None:
    assert complete(source, inference, FIELDS, {}) is None


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({}, {}),
        ({"other": 1}, {}),
        ({"body": " "}, {"body": {"body": []}}),
        ({"body": []}, {"body": {"body": []}}),
        ({"body": None}, {"body": {"body": []}}),
        ({"body": {"an": "object"}}, {"body": {"body": []}}),
        ({"title": "\n", "memo": ""}, {"body": {"title": []}, "memo.meaning": {"memo": []}}),
    ],
)
def test_values_without_text_are_named_and_have_no_chunks(source: Any, named: Any) -> None:
    found = complete(source, {}, FIELDS, {})
    assert found is not None
    assert {path: one["inference"]["chunks"] for path, one in found.items()} == named
    assert {one["inference"]["inference_id"] for one in found.values()} <= {"e"}


def test_what_is_given_is_kept() -> None:
    inference = given("body", "body", "title", model_settings=MODEL, chunking_settings={"a": 1})
    source = {"body": "a", "title": "b", "memo": " "}
    found = complete(source, inference, FIELDS, {"e": "other"})
    assert found is not None
    assert found["body"] == given("body", "body", "title", model_settings=MODEL)["body"] | {
        "inference": {
            **inference["body"]["inference"],
            "inference_id": "other",
        }
    }
    assert found["memo.meaning"]["inference"] == {"inference_id": "other", "chunks": {"memo": []}}


def test_endpoints_are_renamed_wherever_fields_name_them() -> None:
    mapping: dict[str, Any] = {
        "properties": {
            "body": {"type": "semantic_text", "inference_id": "e", "search_inference_id": "s"},
            "inference_id": {"type": "keyword", "meta": {"inference_id": "e"}},
        },
        "dynamic_templates": [{"t": {"mapping": {"type": "keyword"}}}],
    }
    made = with_endpoints(mapping, {"e": "x", "s": "y"})
    assert made["properties"]["body"] == {
        "type": "semantic_text",
        "inference_id": "x",
        "search_inference_id": "y",
    }
    assert made["properties"]["inference_id"] == mapping["properties"]["inference_id"]
    assert made["dynamic_templates"] == mapping["dynamic_templates"]
    assert inference_ids(declared_fields(mapping), mapping) == ["e", "s"]


def test_texts_are_measured_as_they_are_cut() -> None:
    measure = Measure(FIELDS, {"e": {"strategy": "word", "max_chunk_size": 10, "overlap": 1}})
    found = measure.of({"body": "w " * 25, "title": ["a", " "], "memo": {"no": "text"}})
    assert (found.texts, found.characters, found.chunks) == (2, 51, 4)
    unknown = Measure(FIELDS, {"e": {"strategy": "of another service"}})
    assert unknown.of({"body": "w " * 25}).chunks == 1
