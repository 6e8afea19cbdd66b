from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic import layout
from proxy.semantic.mappings import around, as_declared, declared_everywhere, fields_of
from proxy.semantic.modelsettings import read_model_settings

MODEL = {
    "service": "hugging_face",
    "task_type": "text_embedding",
    "dimensions": 4,
    "similarity": "cosine",
    "element_type": "float",
}
DEFINITION = {"type": "semantic_text", "inference_id": "e"}


def mapping_with(path: str = "a", *, seen: bool = False, **fields: Any) -> dict[str, Any]:
    """What an upstream shows of an index with a semantic field, and others."""
    below = layout.field_mapping(DEFINITION, read_model_settings(MODEL))
    if seen:
        below["properties"]["seen"]["properties"] = {"m": {"type": "object"}}
    container = layout.container({layout.key_of(path): below})
    return {"properties": {**fields, layout.CONTAINER: container}}


class TestFields:
    def test_with_what_is_copied_and_what_stands_for_them(self):
        fields = fields_of(
            mapping_with(
                a=dict(layout.PLACEHOLDER),
                b={"type": "text", "copy_to": ["a"]},
                o={"properties": {"c": {"type": "keyword", "copy_to": "a"}}},
                d={"type": "alias", "path": "a"},
            )
        )
        assert fields["a"].sources == ("a", "b", "o.c")
        assert fields["a"].aliases == ("d",)

    def test_a_multi_field_has_the_values_of_its_parent(self):
        parent = {"type": "text", "fields": {"s": dict(layout.PLACEHOLDER)}}
        other = {"type": "text", "copy_to": ["a"]}
        fields = fields_of(mapping_with("a.s", a=parent, b=other))
        assert fields["a.s"].sources == ("a", "b")

    def test_the_last_definition_holds(self):
        mapping = mapping_with(a=dict(layout.PLACEHOLDER))
        newer = {**DEFINITION, "search_inference_id": "s"}
        added = layout.definition_mapping(newer, 12)["properties"]
        mapping["properties"]["xinf"]["properties"]["a"]["properties"] |= added
        field = fields_of(mapping)["a"]
        assert (field.number, field.search_inference_id) == (12, "s")

    def test_a_definition_of_a_field_that_became_another_is_not_believed(self):
        assert fields_of(mapping_with(a={"type": "keyword"})) == {}
        assert fields_of(mapping_with()) == {}
        shown = as_declared(mapping_with(a={"type": "keyword"}))
        assert shown == {"properties": {"a": {"type": "keyword"}}}


class TestShown:
    def test_only_what_was_declared(self):
        placeholder: dict[str, Any] = {**layout.PLACEHOLDER, "meta": {"x": "1"}, "copy_to": ["b"]}
        shown = as_declared(mapping_with(a=placeholder))
        assert shown == {"properties": {"a": {**DEFINITION, "meta": {"x": "1"}, "copy_to": ["b"]}}}

    def test_the_model_once_it_is_used(self):
        shown = as_declared(mapping_with(seen=True, a=dict(layout.PLACEHOLDER)))
        assert shown["properties"]["a"] == {**DEFINITION, "model_settings": MODEL}

    def test_a_users_own_field_of_that_name(self):
        mapping = {"properties": {"xinf": {"properties": {"a": {"type": "text"}}}}}
        assert as_declared(mapping) is mapping

    @pytest.mark.parametrize("fields", [[], None, {"c": []}, {"c": None}, "x"])
    def test_beside_what_no_index_could_have_but_a_template(self, fields: Any):
        odd = {"type": "text", "fields": fields, "properties": fields}
        mapping = mapping_with(a=dict(layout.PLACEHOLDER), b=odd)
        assert as_declared(mapping) == {"properties": {"a": DEFINITION, "b": odd}}

    def test_wherever_mappings_are(self):
        mapping = mapping_with(a=dict(layout.PLACEHOLDER))
        expected = {"properties": {"a": DEFINITION}}
        document = {"i": [{"mappings": mapping}], "s": {"mappings": {"_doc": mapping}}, "n": 1}
        document |= {"simulated": {"effective_mapping": {"_doc": mapping}}}
        assert declared_everywhere(document) == {
            "i": [{"mappings": expected}],
            "s": {"mappings": {"_doc": expected}},
            "n": 1,
            "simulated": {"effective_mapping": {"_doc": expected}},
        }


def test_around():
    nested: dict[str, Any] = {
        "type": "nested",
        "properties": {"b.c": {"type": "text", "fields": {"d": {}}}},
    }
    mapping = {"properties": {"a": nested}}
    holders, kind = around(mapping, "a.b.c.d")
    assert holders == [mapping, nested, nested["properties"]["b.c"]]
    assert kind == "object"
    assert around(mapping, "a.b.x") == ([mapping, nested], None)
    assert around(mapping, "z.y") == ([mapping], None)
