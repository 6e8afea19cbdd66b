"""Mappings with semantic fields, and what any Elasticsearch can take in their place."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.semantic.declarations import (
    Declaration,
    Declared,
    completed,
    declare,
    model_for,
    semantic_definitions,
)
from proxy.semantic.errors import MapperParsingFailed
from proxy.semantic.modelsettings import DenseModel, SparseModel

FIELD: Final = {"type": "semantic_text", "inference_id": "embed"}
PLACEHOLDER: Final = {"type": "text", "index": False, "norms": False}
MODEL: Final = DenseModel(dimensions=3, similarity="cosine")


def declared(mapping: Any, *, ours: bool = True) -> Declared:
    return declare(mapping, lambda _: ours, lambda _: "default")


def test_fields_are_found_wherever_they_stand():
    mapping = {
        "properties": {
            "top": FIELD,
            "object": {"properties": {"below": FIELD, "plain": {"type": "keyword"}}},
            "text": {"type": "text", "fields": {"meaning": FIELD}},
        }
    }
    made = declared(mapping)
    assert [one.path for one in made.fields] == ["top", "object.below", "text.meaning"]
    properties = made.mapping["properties"]
    assert properties["top"] == PLACEHOLDER
    assert properties["object"]["properties"] == {
        "below": PLACEHOLDER,
        "plain": {"type": "keyword"},
    }
    assert properties["text"]["fields"]["meaning"] == PLACEHOLDER
    assert mapping["properties"]["top"] is FIELD  # what was given is as it was


def test_a_placeholder_keeps_what_the_upstream_checks():
    field = {**FIELD, "copy_to": "all", "meta": {"a": "b"}, "fields": {"raw": {"type": "keyword"}}}
    assert declared({"properties": {"a": field}}).mapping["properties"]["a"] == {
        **PLACEHOLDER,
        "copy_to": "all",
        "meta": {"a": "b"},
        "fields": {"raw": {"type": "keyword"}},
    }


def test_fields_that_are_not_ours_stay():
    mapping = {"properties": {"a": FIELD}}
    assert declared(mapping, ours=False) == Declared(mapping=mapping, fields=())


@pytest.mark.parametrize(
    "odd", [{}, {"properties": None}, {"properties": [1]}, {"properties": {"a": "text"}}]
)
def test_what_is_no_mapping_is_left_to_the_upstream(odd: Any):
    assert declared(odd) == Declared(mapping=odd, fields=())
    assert list(semantic_definitions(odd)) == []


@pytest.mark.parametrize(
    ("mapping", "error", "reason"),
    [
        (
            {"properties": {"n": {"type": "nested", "properties": {"a": FIELD}}}},
            IllegalArgument,
            "semantic_text field [n.a] cannot be nested",
        ),
        (
            {"properties": {"o": {"subobjects": "false", "properties": {"a": FIELD}}}},
            IllegalArgument,
            "field [o.a] cannot be in an object field with subobjects disabled",
        ),
        (
            {"subobjects": False, "properties": {"a": FIELD}},
            IllegalArgument,
            "field [a] cannot be in an object field with subobjects disabled",
        ),
        (
            {"dynamic_templates": [{"t": {"mapping": FIELD}}]},
            MapperParsingFailed,
            "Field [t] of type [semantic_text] can't be used in dynamic templates",
        ),
        (
            {"properties": {"a": FIELD, "xinf.b": {"type": "keyword"}}},
            IllegalArgument,
            "field [xinf.b] is reserved",
        ),
        (
            {"properties": {"a": FIELD}, "_source": {"excludes": "x*"}},
            IllegalArgument,
            "[_source.excludes] pattern [x*] would exclude the vectors",
        ),
        (
            {"properties": {"a": FIELD}, "_source": {"excludes": ["b", "xinf.a"]}},
            IllegalArgument,
            "pattern [xinf.a] would exclude",
        ),
    ],
)
def test_where_no_field_can_be(mapping: Any, error: type[ProxyError], reason: str):
    with pytest.raises(error) as caught:
        declared(mapping)
    assert reason in str(caught.value)


def test_definitions_in_templates_are_found_as_well():
    mapping = {"properties": {"a": FIELD}, "dynamic_templates": [{"t": {"mapping": FIELD}}, 1]}
    assert list(semantic_definitions(mapping)) == [FIELD, FIELD]


def test_what_belongs_to_fields_is_put_below_the_container():
    made = completed({"properties": {"o": {"type": "object"}}}, {"o.a": {"properties": {}}})
    assert made["properties"] == {
        "o": {"type": "object"},
        "xinf": {"dynamic": False, "properties": {"o:a": {"properties": {}}}},
    }


@pytest.mark.parametrize(
    ("includes", "made"), [("a", ["a", "xinf"]), (["a", "x*"], ["a", "x*"]), ([], [])]
)
def test_vectors_stay_where_only_some_of_the_source_is_kept(includes: Any, made: list[str]):
    found = completed({"_source": {"includes": includes}}, {})
    assert found["_source"]["includes"] == made


@pytest.mark.parametrize("odd", [5, {"a": 1}, True])
@pytest.mark.parametrize("name", ["includes", "excludes"])
def test_a_filter_that_is_none_is_left_to_the_upstream(name: str, odd: Any):
    mapping = {"properties": {"a": FIELD}, "_source": {name: odd}}
    made = declared(mapping)
    assert completed(made.mapping, {})["_source"] == {name: odd}


def test_multi_fields_of_the_root_are_left_to_the_upstream():
    made = declared({"properties": None, "fields": {"a": FIELD}})
    assert completed(made.mapping, {"a": {}})["fields"] == {"a": PLACEHOLDER}


def of(**definition: Any) -> Declaration:
    return Declaration(path="a", definition={"inference_id": "embed", **definition})


def test_the_model_is_the_given_one_or_that_of_the_endpoint():
    assert model_for(of(), None) is None
    assert model_for(of(), MODEL) == MODEL
    assert model_for(of(model_settings=MODEL.rendered()), None) == MODEL
    assert model_for(of(model_settings=MODEL.rendered()), MODEL) == MODEL


@pytest.mark.parametrize(
    ("definition", "registered", "reason"),
    [
        (
            {"model_settings": {**MODEL.rendered(), "dimensions": 4}},
            MODEL,
            "Mismatch between provided and registered inference model settings",
        ),
        ({"index_options": {"dense_vector": {}}}, None, r"for inference ID \[embed\]"),
        ({"index_options": {"sparse_vector": {}}}, MODEL, "but was \\[text_embedding\\]"),
        (
            {"index_options": {"dense_vector": {}}},
            SparseModel(),
            r"required \[text_embedding\] but was \[sparse_embedding\]",
        ),
        (
            {"model_settings": SparseModel().rendered()},
            MODEL,
            r"Provided: \[service=hugging_face, task_type=sparse_embedding\], Expected",
        ),
    ],
)
def test_models_that_do_not_go_together(definition: Any, registered: Any, reason: str):
    with pytest.raises(IllegalArgument, match=reason):
        model_for(of(**definition), registered)
