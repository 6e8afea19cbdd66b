"""The two kinds of models: what differs between fields of one and of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.semantic.modelsettings import (
    DenseModel,
    ModelSettings,
    SparseModel,
    model_settings_of,
    read_model_settings,
)
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.weights import Weights

MODEL: Final = DenseModel(dimensions=3, similarity="cosine")
SPARSE: Final = SparseModel()


def endpoint(task: TaskType, **settings: Any) -> InferenceEndpoint:
    return InferenceEndpoint(
        inference_id="e",
        task_type=task,
        service_settings=ServiceSettings(url="http://provider", **settings),
        secret_settings=SecretSettings(api_key="hf_secret"),
    )


@pytest.mark.parametrize("kind", [MODEL, SPARSE])
@pytest.mark.parametrize("service", ["hugging_face", None])
def test_settings_are_read_as_they_were_rendered(kind: ModelSettings, service: str | None):
    model = replace(kind, service=service)
    assert read_model_settings(model.rendered()) == model


@pytest.mark.parametrize(
    "more",
    [
        {"task_type": "sparse_embedding"},  # which has no dimensions
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
    assert SPARSE.fits(replace(SPARSE, service="elastic"))
    assert not MODEL.fits(SPARSE)
    assert not SPARSE.fits(MODEL)
    assert not MODEL.fits(replace(MODEL, dimensions=4))
    assert not MODEL.fits(replace(MODEL, similarity="l2_norm"))
    assert not MODEL.fits(replace(MODEL, element_type="byte"))


def test_errors_show_a_service_that_is_not_named_as_null():
    assert replace(MODEL, service=None).shown == (
        "service=null, task_type=text_embedding, dimensions=3, similarity=cosine, "
        "element_type=float"
    )
    assert SPARSE.shown == "service=hugging_face, task_type=sparse_embedding"


def test_an_endpoint_says_what_its_vectors_are_like():
    found = model_settings_of(endpoint(TaskType.TEXT_EMBEDDING, dimensions=3))
    assert found == MODEL
    dotted = endpoint(TaskType.TEXT_EMBEDDING, dimensions=3, similarity="dot_product")
    assert model_settings_of(dotted) == replace(MODEL, similarity="dot_product")
    assert model_settings_of(endpoint(TaskType.SPARSE_EMBEDDING)) == SPARSE


def test_an_endpoint_without_vectors_says_nothing():
    assert model_settings_of(endpoint(TaskType.TEXT_EMBEDDING)) is None
    assert model_settings_of(endpoint(TaskType.RERANK)) is None


@pytest.mark.parametrize(
    ("model", "task", "made", "problem"),
    [
        (MODEL, TaskType.TEXT_EMBEDDING, [1.0, 2.0, 3.0], None),
        (MODEL, TaskType.TEXT_EMBEDDING, [1.0], "with 3 dimensions, got 1 dimensions."),
        (
            MODEL,
            TaskType.SPARSE_EMBEDDING,
            {"sea": 1.0},
            "to be of type [text_embedding_result], got [text_expansion_result].",
        ),
        (SPARSE, TaskType.SPARSE_EMBEDDING, {}, None),
        (
            SPARSE,
            TaskType.TEXT_EMBEDDING,
            [1.0],
            "to be of type [text_expansion_result], got [text_embedding_result].",
        ),
        (SPARSE, TaskType.RERANK, [], "to be of type [text_expansion_result], got [rerank]."),
    ],
)
def test_what_is_made_of_a_query_may_not_fit(
    model: ModelSettings, task: TaskType, made: Any, problem: str | None
):
    assert model.misfit(task, made) == problem


def test_how_embeddings_are_mapped():
    assert SPARSE.mapping(None, in_bits=True) == {"type": "sparse_vector"}
    assert SPARSE.mapping({"prune": False}, in_bits=False) == {
        "type": "sparse_vector",
        "index_options": {"prune": False},
    }
    assert MODEL.mapping({"type": "flat"}, in_bits=True) == {
        "type": "dense_vector",
        "dims": 3,
        "similarity": "cosine",
        "element_type": "float",
        "index": True,
        "index_options": {"type": "flat"},
    }


def test_only_vectors_are_searched_for_with_a_filter():
    only = {"term": {"a": "x"}}
    assert MODEL.query("f", [1.0], 3, [only])["knn"]["filter"] == [only]
    assert SPARSE.query("f", {"sea": 0.5}, 3, [only]) == {
        "sparse_vector": {"field": "f", "query_vector": {"sea": 0.5}}
    }


@pytest.mark.parametrize(
    ("model", "sought", "held", "expected"),
    [
        (MODEL, [1.0, 0.0, 0.0], [2.0, 0.0, 0.0], 1.0),
        (MODEL, [1.0, 0.0, 0.0], [2.0], 0.0),
        (MODEL, [1.0, 0.0, 0.0], None, 0.0),
        (MODEL, {"sea": 1.0}, [2.0, 0.0, 0.0], 0.0),
        (SPARSE, {"sea": 2.0, "sky": 3.0}, {"sea": 0.5, "air": 9.0}, 1.0),
        (SPARSE, {"sea": 2.0}, {"sky": 0.5}, 0.0),
        (SPARSE, {"sea": 2.0}, {"sea": "0.5"}, 0.0),  # as a client may have brought it
        (SPARSE, {"sea": 2.0}, None, 0.0),
        (SPARSE, [1.0], {"sea": 0.5}, 0.0),
    ],
)
def test_how_near_a_chunk_is(model: ModelSettings, sought: Any, held: Any, expected: float):
    assert model.score(sought, held) == pytest.approx(expected)


def test_several_texts_of_a_chunk_have_one_embedding():
    vectors = [Numbers.of([1.0, 0.0, 4.0]), Numbers.of([3.0, 0.0, 0.0])]
    assert MODEL.merged(vectors).json == b"[2.0,0.0,2.0]"
    weights = [Weights.of({"sea": 0.5, "sky": 1.0}), Weights.of({"sea": 2.0, "air": 0.25})]
    assert SPARSE.merged(weights).json == b'{"sea":2.0,"sky":1.0,"air":0.25}'


def test_sizes_are_about_right():
    assert MODEL.size == 3
    assert 100 < SPARSE.size < 1000
