"""Where definitions, models and vectors lie in a mapping, and how they are found again there."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic import layout
from proxy.semantic.modelsettings import DenseModel

DEFINITION: Final = {"type": "semantic_text", "inference_id": "embed"}


def model(dimensions: int = 3, element_type: str = "float") -> DenseModel:
    return DenseModel(dimensions=dimensions, similarity="cosine", element_type=element_type)


def vector(*args: Any, **options: Any) -> dict[str, Any]:
    found = layout.field_mapping(*args, **options)["properties"]["chunks"]["properties"]
    return dict(found["embeddings"])


def test_paths_have_keys_that_lead_back_to_them():
    assert layout.key_of("a.b.c") == "a:b:c"
    assert layout.path_of(layout.key_of("a.b.c")) == "a.b.c"
    assert layout.chunks_path("a.b") == "xinf.a:b.chunks"
    assert layout.vector_path("a.b") == "xinf.a:b.chunks.embeddings"


@pytest.mark.parametrize(
    ("path", "ours"), [("xinf", True), ("xinf.a", True), ("xinfo", False), ("a.xinf", False)]
)
def test_ours_is_what_is_below_the_container(path: str, ours: bool):
    assert layout.is_ours(path) is ours


def test_definition_and_model_are_found_in_the_mapping_that_carries_them():
    mapping = layout.field_mapping(DEFINITION, model(), number=2)
    assert layout.definition_of(mapping) == (2, DEFINITION)
    assert layout.model_of(mapping) == model().rendered()


def test_the_last_definition_holds():
    properties = {
        **layout.field_mapping(DEFINITION, None)["properties"],
        **layout.definition_mapping({"inference_id": "ninth"}, 9)["properties"],
        **layout.definition_mapping({"inference_id": "tenth"}, 10)["properties"],
        "default": {"type": "keyword"},
    }
    assert layout.definition_of({"properties": properties}) == (10, {"inference_id": "tenth"})


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"default": {"type": "keyword"}},
        {"def1": {"type": "keyword"}},
        {"def1": {"type": "keyword", "null_value": "{"}},
        {"def1": {"type": "keyword", "null_value": "[1]"}},
    ],
)
def test_a_mapping_of_somebody_else_has_no_definition(properties: dict[str, Any]):
    assert layout.definition_of({"properties": properties}) is None


def test_while_the_endpoint_is_not_known_there_is_no_room_for_vectors():
    mapping = layout.field_mapping(DEFINITION, None)
    assert layout.model_of(mapping) is None
    assert "embeddings" not in mapping["properties"]["chunks"]["properties"]


@pytest.mark.parametrize(
    ("of", "in_bits", "quantised"),
    [
        (model(64), True, True),
        (model(63), True, False),
        (model(64), False, False),
        (model(64, "byte"), True, False),
    ],
)
def test_long_vectors_of_floats_are_quantised_where_the_upstream_can(
    of: DenseModel, in_bits: bool, quantised: bool
):
    assert ("index_options" in vector(DEFINITION, of, in_bits=in_bits)) is quantised


def test_options_of_the_definition_go_before_the_default():
    given = {**DEFINITION, "index_options": {"dense_vector": {"type": "int8_hnsw"}}}
    assert vector(given, model(512))["index_options"] == {"type": "int8_hnsw"}


def test_every_mapped_name_is_listed():
    properties = layout.field_mapping(DEFINITION, model())["properties"]
    mapped = {f"xinf.a:b.{name}" for name in properties if name not in ("chunks", "seen")}
    mapped |= {f"xinf.a:b.chunks.{name}" for name in properties["chunks"]["properties"]}
    assert set(layout.names("a.b", 1)) == mapped
    assert "xinf.a:b.def1" in layout.names("a.b", 2)
    assert "xinf.a:b.def2" in layout.names("a.b", 2)


def test_vectors_are_seen_once_a_document_has_brought_the_mark():
    mapping = layout.field_mapping(DEFINITION, model())
    assert not layout.is_seen(mapping)
    mapping["properties"]["seen"]["properties"] = {layout.MARK: {"type": "object"}}
    assert layout.is_seen(mapping)


def test_a_placeholder_is_a_text_that_is_not_indexed():
    assert layout.is_placeholder(layout.PLACEHOLDER)
    assert not layout.is_placeholder({"type": "text"})
    assert not layout.is_placeholder({"type": "keyword", "index": False})
