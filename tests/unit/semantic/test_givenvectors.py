"""`_inference_fields` of documents that are restored or copied."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.semantic.errors import DocumentParsingFailed
from proxy.semantic.filling import FieldFilling
from proxy.semantic.givenvectors import given_vectors, names_of_given
from proxy.semantic.modelsettings import DenseModel
from tests.unit.semantic.targets import semantic_field

FIELDS: Final = {"body": semantic_field(sources=("body", "title"))}
SETTINGS: Final = DenseModel(dimensions=3, similarity="cosine").rendered()
CHUNK: Final = {"start_offset": 0, "end_offset": 3, "embeddings": [1, 0.5, 0]}


def inference(**more: Any) -> dict[str, Any]:
    return {
        "inference": {
            "inference_id": "e",
            "model_settings": SETTINGS,
            "chunks": {"body": [CHUNK]},
            **more,
        }
    }


def brought(value: Any) -> dict[str, FieldFilling]:
    return given_vectors({"title": "x", "_inference_fields": value}, FIELDS)


def test_vectors_are_put_where_the_layer_keeps_them():
    found = brought({"body": inference()})["body"]
    assert found.sources == ["body", "title"]
    (chunk,) = orjson.loads(b"".join(found.pieces()))["chunks"]
    assert chunk == {"field": "body", "start": 0, "end": 3, "embeddings": [1, 0.5, 0]}


def test_a_path_may_stand_behind_a_dot():
    field = semantic_field("o.body")
    document = {"_inference_fields.o.body": inference(), "_inference_fieldset": 1, "_inference": 2}
    assert names_of_given(document) == ["_inference_fields.o.body"]
    assert given_vectors(document, {"o.body": field})["o.body"].semantic is field
    assert names_of_given({"_inference_fields": 1}) == ["_inference_fields"]


def test_null_brings_nothing():
    assert brought({"body": None}) == {}


def test_no_chunks_need_no_model():
    found = brought({"body": inference(model_settings=None, chunks={})})
    assert found["body"].chunks == []


def test_the_service_need_not_be_named():
    unnamed = {key: value for key, value in SETTINGS.items() if key != "service"}
    assert brought({"body": inference(model_settings=unnamed)})


def test_a_field_of_no_known_model_gets_that_of_its_vectors():
    fields = {"body": semantic_field(model=None)}
    found = given_vectors({"_inference_fields": {"body": inference()}}, fields)
    assert found["body"].model == FIELDS["body"].model


def test_numbers_of_any_size_are_passed_on():
    chunk = {**CHUNK, "embeddings": [10**30, 0, 0]}
    found = brought({"body": inference(chunks={"body": [chunk]})})
    assert str(10**30).encode() in b"".join(found["body"].pieces())


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ([], "expecting an object"),
        ({"other": None}, "Illegal inference field [other] found."),
        ({"body": 1}, "Required [inference]"),
        ({"body": {}}, "Required [inference]"),
        ({"body": inference(inference_id=None)}, "Required [inference_id]"),
        ({"body": inference(chunks=None)}, "Required [chunks]"),
        ({"body": inference(chunks={"body": [{}]})}, "[chunks] failed to parse"),
        (
            {"body": inference(chunks={"body": [{**CHUNK, "embeddings": None}]})},
            "[chunks] failed to parse",
        ),
        ({"body": inference(chunks={"body": CHUNK})}, "[chunks] failed to parse"),
        ({"body": inference(model_settings={})}, "[model_settings] failed to parse"),
        ({"body": inference(model_settings=1)}, "[model_settings] failed to parse"),
    ],
)
def test_what_is_not_of_that_form(value: Any, cause: str):
    with pytest.raises(DocumentParsingFailed) as caught:
        brought(value)
    assert "failed to parse field [_inference_fields]" in caught.value.reason
    assert cause in caught.value.render()["caused_by"]["reason"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (inference(inference_id="other"), "The configured inference_id [other] for field [body]"),
        (inference(model_settings=None), "[model_settings] must be set for field [body]"),
        (
            inference(model_settings={**SETTINGS, "dimensions": 4}),
            "Incompatible model settings for field [body]",
        ),
        (
            inference(model_settings={"task_type": "sparse_embedding"}),
            "Incompatible model settings for field [body]",
        ),
    ],
)
def test_vectors_that_are_not_those_of_the_field(value: Any, reason: str):
    with pytest.raises(DocumentParsingFailed) as caught:
        brought({"body": value})
    assert reason in caught.value.reason
