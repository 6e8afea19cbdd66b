"""What is declared of a semantic field, and which models go with each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.semantic.fields import ModelSettings, model_settings_of, read_model_settings
from tests.unit.semantic.targets import semantic_field

MODEL: Final = ModelSettings(dimensions=3, similarity="cosine")


def endpoint(task: TaskType, **settings: Any) -> InferenceEndpoint:
    return InferenceEndpoint(
        inference_id="e",
        task_type=task,
        service_settings=ServiceSettings(url="http://provider", **settings),
        secret_settings=SecretSettings(api_key="hf_secret"),
    )


@pytest.mark.parametrize("service", ["hugging_face", None])
def test_settings_are_read_as_they_were_rendered(service: str | None):
    model = replace(MODEL, service=service)
    assert read_model_settings(model.rendered()) == model


@pytest.mark.parametrize(
    "more",
    [
        {"task_type": "sparse_embedding"},
        {"dimensions": "3"},
        {"dimensions": None},
        {"similarity": None},
        {"element_type": 1},
    ],
)
def test_other_settings_are_none_that_vectors_can_have(more: dict[str, Any]):
    assert read_model_settings({**MODEL.rendered(), **more}) is None


def test_models_fit_whatever_service_they_are_of():
    assert MODEL.fits(replace(MODEL, service="elastic"))
    assert not MODEL.fits(replace(MODEL, dimensions=4))
    assert not MODEL.fits(replace(MODEL, similarity="l2_norm"))
    assert not MODEL.fits(replace(MODEL, element_type="byte"))


def test_errors_show_a_service_that_is_not_named_as_null():
    assert replace(MODEL, service=None).shown == (
        "service=null, task_type=text_embedding, dimensions=3, similarity=cosine, "
        "element_type=float"
    )


def test_an_endpoint_says_what_its_vectors_are_like():
    found = model_settings_of(endpoint(TaskType.TEXT_EMBEDDING, dimensions=3))
    assert found == MODEL
    dotted = endpoint(TaskType.TEXT_EMBEDDING, dimensions=3, similarity="dot_product")
    assert model_settings_of(dotted) == replace(MODEL, similarity="dot_product")


def test_an_endpoint_without_vectors_says_nothing():
    assert model_settings_of(endpoint(TaskType.TEXT_EMBEDDING)) is None
    assert model_settings_of(endpoint(TaskType.SPARSE_EMBEDDING)) is None


def test_queries_have_an_endpoint_of_their_own_if_the_field_names_one():
    assert semantic_field().search_inference_id == "e"
    named = semantic_field(definition={"search_inference_id": "s"})
    assert (named.inference_id, named.search_inference_id) == ("e", "s")


@pytest.mark.parametrize("settings", [None, {}])
def test_a_field_without_settings_is_cut_as_its_endpoint_says(settings: Any):
    assert semantic_field(definition={"chunking_settings": settings}).chunking is None


def test_a_field_may_say_how_it_is_cut():
    settings = {"strategy": "word", "max_chunk_size": 20, "overlap": 5}
    chunking = semantic_field(definition={"chunking_settings": settings}).chunking
    assert chunking is not None
    assert (chunking.strategy, chunking.max_chunk_size, chunking.overlap) == ("word", 20, 5)
