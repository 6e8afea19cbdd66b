"""The parameters of `semantic_text`, and what is said to those that cannot be taken."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.errors import MapperParsingFailed
from proxy.semantic.parameters import check_subfields, check_task, definition_from

MODEL: Final = {
    "service": "elastic",
    "task_type": "text_embedding",
    "dimensions": 3,
    "similarity": "cosine",
    "element_type": "float",
}


def definition(**parameters: Any) -> dict[str, Any]:
    given = {"type": "semantic_text", "inference_id": "embed", **parameters}
    return definition_from(given, "about.body", "default")


def test_what_stands_in_the_upstreams_mapping_is_left_out():
    made = definition(copy_to="x", meta={"a": "b"}, fields={}, search_inference_id="s")
    assert made == {
        "type": "semantic_text",
        "inference_id": "embed",
        "search_inference_id": "s",
    }


def test_a_field_that_names_no_endpoint_gets_the_default():
    assert definition_from({"type": "semantic_text"}, "a", "default")["inference_id"] == "default"
    with pytest.raises(MapperParsingFailed, match=r"semantic\.default_inference_id"):
        definition_from({"type": "semantic_text"}, "a", None)


def test_settings_are_kept_in_full():
    made = definition(
        chunking_settings={"strategy": "sentence", "max_chunk_size": 40},
        model_settings={**MODEL, "dimensions": "3", "similarity": "COSINE"},
        index_options={"dense_vector": {"type": "int8_hnsw", "m": 8}},
    )
    assert made["chunking_settings"] == {
        "strategy": "sentence",
        "max_chunk_size": 40,
        "sentence_overlap": 1,
    }
    assert made["model_settings"] == MODEL
    assert made["index_options"] == {"dense_vector": {"type": "int8_hnsw", "m": 8}}


@pytest.mark.parametrize("name", ["chunking_settings", "model_settings", "index_options"])
def test_null_is_as_if_it_were_not_there(name: str):
    assert name not in definition(**{name: None})


def test_empty_chunking_settings_leave_it_to_the_endpoint():
    assert "chunking_settings" not in definition(chunking_settings={})


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"boost": 2}, "unknown parameter [boost] on mapper [body] of type [semantic_text]"),
        ({"inference_id": None}, "must not have a [null] value"),
        ({"inference_id": ""}, "[inference_id] on mapper [body] of type [semantic_text] must not"),
        ({"inference_id": ["e"]}, "must be a string"),
        ({"search_inference_id": {}}, "[search_inference_id] on mapper [body]"),
        ({"chunking_settings": "x"}, "should be a hash but was of type: class java.lang.String"),
        ({"chunking_settings": [1]}, "should be a hash but was of type: class java.util.ArrayList"),
        (
            {
                "chunking_settings": {
                    "strategy": "recursive",
                    "max_chunk_size": 9,
                    "separators": "(",
                }
            },
            "separators",
        ),
        ({"model_settings": {}}, "Required [task_type]"),
        ({"model_settings": {"task_type": "dance"}}, "Unknown task_type [dance]"),
        (
            {"model_settings": {"task_type": "text_embedding"}},
            "required [dimensions] field is missing for task_type [TEXT_EMBEDDING]",
        ),
        (
            {"model_settings": {**MODEL, "task_type": "sparse_embedding"}},
            "[dimensions] is not allowed for task_type [SPARSE_EMBEDDING]",
        ),
        ({"model_settings": {**MODEL, "dimensions": "three"}}, "must be a number, got [three]"),
        ({"model_settings": {**MODEL, "dimensions": float("inf")}}, "must be a number, got [inf]"),
        (
            {"model_settings": {**MODEL, "similarity": "x"}},
            "cosine, dot_product, l2_norm], got [x]",
        ),
        ({"model_settings": {**MODEL, "element_type": "x"}}, "[float, byte, bit], got [x]"),
        ({"index_options": {}}, "Too many index options provided"),
        ({"index_options": {"a": {}, "b": {}}}, "Too many index options provided, found [a, b]"),
        ({"index_options": {"a": {}}}, "Unknown index options type [a]"),
        ({"index_options": {"dense_vector": {}}}, "Required type"),
        ({"index_options": {"dense_vector": {"type": "x"}}}, "Unsupported index options type x"),
    ],
)
def test_what_cannot_be_taken_is_named(parameters: dict[str, Any], reason: str):
    with pytest.raises(MapperParsingFailed) as caught:
        definition(**parameters)
    assert caught.value.reason.startswith("Failed to parse mapping: ")
    assert reason in caught.value.reason


def test_only_models_that_embed_are_for_fields():
    check_task(definition(model_settings=MODEL))
    for service in ({}, {"service": "elastic"}):
        settings = {**service, "task_type": "sparse_embedding"}
        assert definition(model_settings=settings)["model_settings"] == settings
        check_task(definition(model_settings=settings))
    with pytest.raises(IllegalArgument, match="or sparse_embedding, got RERANK"):
        check_task(definition(model_settings={"task_type": "rerank"}))


def test_a_multi_field_may_not_have_the_name_of_elasticsearchs_own():
    check_subfields({"fields": {"raw": {}}}, "a.body")
    with pytest.raises(IllegalArgument, match=r"\[a\.body\.inference\] is already used"):
        check_subfields({"fields": {"inference": {}}}, "a.body")
