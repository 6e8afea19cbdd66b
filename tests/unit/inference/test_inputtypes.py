"""`input_type` at endpoints that know kinds of inputs, and at all others."""

from __future__ import annotations

import pytest

from proxy.inference.endpoints import TaskType
from proxy.inference.inputtypes import PrefixesOf, no_prefixes
from proxy.inference.requests import InferenceRequest
from proxy.inference.results import SparseVector
from proxy.inference.service import InferenceService
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.samples import PROFILE, make_endpoint
from tests.support.services import failing

E5 = {"search": "query: ", "ingest": "passage: ", "clustering": ""}
REFUSED = (
    "Validation Failed: 1: Invalid input_type [{}]. The input_type option is not supported by this "
    "service;"
)


def service_of(provider: ScriptedProvider, prefixes_of: PrefixesOf) -> InferenceService:
    return InferenceService(MemoryStore(), provider, 30.0, PROFILE, prefixes_of=prefixes_of)


def e5_alone(inference_id: str) -> dict[str, str]:
    return E5 if inference_id == "e1" else {}


@pytest.mark.parametrize(
    ("input_type", "sent"),
    [
        ("search", "query: a"),
        ("ingest", "passage: a"),
        ("clustering", "a"),
        ("unspecified", "a"),
        (None, "a"),
    ],
)
async def test_texts_get_the_prefix_of_their_kind(input_type, sent):
    provider = ScriptedProvider([[1.0]])
    request = InferenceRequest(input=["a"], input_type=input_type)
    await service_of(provider, e5_alone).infer(make_endpoint(), request, None)
    assert provider.calls == [("embed", [sent])]


async def test_sparse_vectors_know_kinds_too():
    provider = ScriptedProvider([SparseVector({}, False)])
    request = InferenceRequest(input=["a", "b"], input_type="search")
    endpoint = make_endpoint(TaskType.SPARSE_EMBEDDING)
    await service_of(provider, e5_alone).infer(endpoint, request, None)
    assert provider.calls == [("embed_sparse", ["query: a", "query: b"])]


@pytest.mark.parametrize(
    ("prefixes_of", "task", "inference_id", "input_type"),
    [
        (no_prefixes, TaskType.TEXT_EMBEDDING, "e1", "search"),
        (e5_alone, TaskType.TEXT_EMBEDDING, "e2", "search"),
        (e5_alone, TaskType.TEXT_EMBEDDING, "e1", "classification"),
        (e5_alone, TaskType.RERANK, "e1", "search"),
        (e5_alone, TaskType.COMPLETION, "e1", "search"),
    ],
)
async def test_a_kind_without_a_prefix_is_refused(prefixes_of, task, inference_id, input_type):
    provider = ScriptedProvider([[1.0]])
    request = InferenceRequest(input=["a"], query="q", input_type=input_type)
    endpoint = make_endpoint(task, inference_id=inference_id)
    error = await failing(service_of(provider, prefixes_of).infer(endpoint, request, None))
    assert (error.status, error.reason) == (400, REFUSED.format(input_type))
    assert provider.calls == []
