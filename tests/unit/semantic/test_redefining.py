"""Semantic fields declared in indices that exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument, UpstreamUnavailable
from proxy.inference.endpoints import TaskType
from proxy.semantic import layout
from proxy.semantic.declarations import Declaration, Declared
from proxy.semantic.modelsettings import DenseModel, SparseModel
from proxy.semantic.redefining import Present, mapping_for, present_fields
from tests.unit.semantic import exchanges
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

DEFINITION: Final = {"type": "semantic_text", "inference_id": "e"}
MODEL: Final = DenseModel(dimensions=3, similarity="cosine")


class Endpoints(exchanges.Endpoints):
    """`e` and `same` have three dimensions, `wide` has four; `gone` does not exist."""

    async def find(self, inference_id):
        if inference_id == "gone":
            return None
        found = await super().find(inference_id)
        if inference_id in ("sparse", "rank"):
            task = {"sparse": TaskType.SPARSE_EMBEDDING, "rank": TaskType.RERANK}[inference_id]
            return replace(found, task_type=task)
        return found.with_service_settings(dimensions=4) if inference_id == "wide" else found


def present(seen: bool = True, **more: Any) -> Present:
    """An index that has the field `body` of the endpoint `e`."""
    field = semantic_field(definition=DEFINITION, seen=seen, **more)
    return Present(mapping={"properties": {"body": {"type": "text"}}}, fields={"body": field})


async def made(
    definition: Mapping[str, Any], path: str = "body", **indices: Present
) -> dict[str, Any]:
    """What is mapped below `xinf` for a field that is declared so."""
    here = world(target())
    here.endpoints = Endpoints()
    declared = Declared(
        mapping={}, fields=(Declaration(path=path, definition={**DEFINITION, **definition}),)
    )
    mapping = await mapping_for(here.parts(), declared, indices)
    return dict(mapping["properties"]["xinf"]["properties"][layout.key_of(path)])


async def test_a_new_field_gets_all_that_belongs_to_it():
    found = await made({}, "o.a", a=present())
    assert found == layout.field_mapping(DEFINITION, MODEL)


async def test_a_field_of_an_endpoint_that_is_to_come_has_no_room_yet():
    found = await made({"inference_id": "gone"}, "new")
    assert layout.model_of(found) is None


async def test_the_same_definition_is_put_once_more():
    assert (await made({}, a=present())) == layout.definition_mapping(DEFINITION, 1)


async def test_another_definition_follows_the_last_one():
    found = await made({"search_inference_id": "s"}, a=present(), b=present(number=4))
    assert layout.definition_of(found) == (5, {**DEFINITION, "search_inference_id": "s"})


async def test_in_an_index_without_the_field_it_is_made_whole():
    found = await made({}, a=present(), b=Present(mapping={}, fields={}))
    assert layout.model_of(found) == MODEL.rendered()


async def test_a_new_field_may_be_of_a_sparse_endpoint():
    options = {"index_options": {"sparse_vector": {"prune": False}}}
    found = await made({"inference_id": "sparse", **options}, "new")
    assert layout.model_of(found) == SparseModel().rendered()
    assert found["properties"]["chunks"]["properties"]["embeddings"] == {
        "type": "sparse_vector",
        "index_options": {"prune": False},
    }


async def test_the_model_of_a_field_stays():
    old = DenseModel(dimensions=3, similarity="cosine", service="elastic")
    found = await made({"index_options": {"dense_vector": {"type": "flat"}}}, a=present(model=old))
    assert layout.model_of(found) == old.rendered()


@pytest.mark.parametrize(
    ("definition", "index", "reason"),
    [
        (
            {"inference_id": "sparse"},
            present(),
            "with model settings [service=hugging_face, task_type=sparse_embedding].",
        ),
        ({"inference_id": "rank"}, present(), "Invalid task_type in model_settings [RERANK]"),
        (
            {"inference_id": "wide"},
            present(),
            "is not compatible with new inference endpoint [wide]",
        ),
        ({"inference_id": "gone"}, present(), "because inference endpoint [gone] does not exist."),
        (
            {"inference_id": "gone", "model_settings": {**MODEL.rendered(), "dimensions": 4}},
            present(seen=False),
            "Cannot update parameter [model_settings]",
        ),
    ],
)
async def test_what_cannot_be_changed(definition: Any, index: Present, reason: str):
    with pytest.raises(IllegalArgument) as caught:
        await made(definition, a=index)
    assert reason in caught.value.reason


async def test_a_field_that_has_no_vectors_yet_may_wait_for_its_endpoint():
    assert await made({"inference_id": "gone"}, a=present(seen=False))
    assert await made({"inference_id": "same"}, a=present())
    assert await made({"inference_id": "wide"}, a=present(model=None))


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        (
            {"properties": {"o": {"properties": {"a": {"type": "keyword"}}}}},
            "mapper [o.a] cannot be changed from type [keyword] to [semantic_text]",
        ),
        ({"properties": {"o": {"type": "nested"}}}, "field [o.a] cannot be nested"),
        ({"subobjects": False}, "with subobjects disabled"),
    ],
)
def test_where_no_field_can_be(mapping: Any, reason: str):
    with pytest.raises(IllegalArgument) as caught:
        Present(mapping=mapping, fields={}).check("o.a")
    assert reason in caught.value.reason


def test_a_semantic_field_stays_one():
    index = present()
    index.refuse_other_types({"properties": {"body": {"type": "semantic_text"}, "b": {}}})
    with pytest.raises(IllegalArgument, match=r"from type \[semantic_text\] to \[text\]"):
        index.refuse_other_types({"properties": {"body": {"type": "text"}}})


async def test_the_indices_are_read_in_the_callers_name():
    below = layout.field_mapping(DEFINITION, None)
    mapping = {"properties": {"a": layout.PLACEHOLDER, "xinf": layout.container({"a": below})}}
    here = world(target(), {"i": {"mappings": mapping}, "j": {"mappings": {}}})
    exchange, _ = here.exchange("PUT", "/i*/_mapping")
    found = await present_fields(exchange)
    assert here.upstream.asked[0].target.startswith("/i*/_mapping?")
    assert found["i"].mapping_of_ours
    assert not found["j"].mapping_of_ours
    for status in (401, 403, 404):
        exchange, _ = world(target(), Answer({}, status)).exchange("PUT", "/i/_mapping")
        assert await present_fields(exchange) == {}
    exchange, _ = world(target(), Answer({}, 429)).exchange("PUT", "/i/_mapping")
    with pytest.raises(UpstreamUnavailable):
        await present_fields(exchange)
