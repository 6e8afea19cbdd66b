from __future__ import annotations

import pytest

from proxy.ground.errors import (
    CountMismatch,
    StatusError,
)
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import TaskSettings, TaskType
from proxy.inference.results import SparseVector
from proxy.inference.trial import try_out
from tests.support.provider import ScriptedProvider
from tests.support.samples import make_endpoint
from tests.support.services import failing, service_of

CREATION = (
    "Could not complete inference endpoint creation as validation call to service threw an "
    "exception."
)


async def nobody() -> bool:
    return False


@pytest.mark.parametrize(
    ("task", "outcome", "call"),
    [
        (TaskType.TEXT_EMBEDDING, [[1.0]], ("embed", ["how big"])),
        (TaskType.SPARSE_EMBEDDING, [SparseVector({}, False)], ("embed_sparse", ["how big"])),
        (TaskType.RERANK, [], ("rerank", "test query", ["how big"], None, None)),
        (TaskType.COMPLETION, ["x"], ("complete", "how big")),
        (
            TaskType.CHAT_COMPLETION,
            [],
            ("stream_chat", ChatRequest(messages=[{"content": "how big", "role": "user"}])),
        ),
    ],
)
async def test_each_task_is_tried_its_own_way(task, outcome, call):
    provider = ScriptedProvider(outcome)
    service, store = service_of(provider)
    await service.put(make_endpoint(task), None, nobody)
    assert provider.calls == [call]
    assert "e1" in store.endpoints


async def test_nothing_that_is_remembered_of_an_endpoint_answers_for_it():
    tried = []

    class Noting:
        async def infer(self, endpoint, request, timeout):
            tried.append(endpoint.revision)
            return {"text_embedding": [{"embedding": [1.0]}]}

        begin_chat = infer

    await try_out(Noting(), make_endpoint(revision="r1"), None)
    assert tried == [None]


async def test_the_try_uses_the_endpoints_own_task_settings():
    provider = ScriptedProvider([])
    service, _ = service_of(provider)
    settings = TaskSettings(top_n=3, return_documents=True)
    await service.put(make_endpoint(TaskType.RERANK, task_settings=settings), None, nobody)
    assert provider.calls == [("rerank", "test query", ["how big"], 3, True)]


async def test_the_first_vector_tells_the_dimensions():
    service, store = service_of(ScriptedProvider([[1.0, 2.0, 3.0], [1.0]]))
    endpoint = make_endpoint(dimensions=99, similarity="l2_norm")
    made = (await service.put(endpoint, None, nobody)).endpoint
    assert made == store.endpoints["e1"]
    assert (made.service_settings.dimensions, made.service_settings.similarity) == (
        3,
        "l2_norm",
    )


async def test_cosine_is_the_similarity_unless_another_is_given():
    service, _ = service_of(ScriptedProvider([[1.0]]))
    made = (await service.put(make_endpoint(), None, nobody)).endpoint
    assert made.service_settings.similarity == "cosine"


@pytest.mark.parametrize("outcome", [CountMismatch(0, 1), [[]]])
async def test_a_try_without_a_vector_makes_no_endpoint(outcome):
    service, store = service_of(ScriptedProvider(outcome))
    error = await failing(service.put(make_endpoint(), None, nobody))
    assert (error.status, error.reason) == (400, "Could not determine embedding size")
    assert store.endpoints == {}


async def test_a_try_that_fails_makes_no_endpoint():
    service, store = service_of(ScriptedProvider(StatusError(503, "busy")))
    error = await failing(service.put(make_endpoint(), None, nobody))
    assert (error.status, error.reason, store.endpoints) == (400, CREATION, {})
    assert error.root_cause().reason == "busy"


async def test_a_try_takes_no_longer_than_it_may():
    service, _ = service_of(ScriptedProvider("hang"))
    error = await failing(service.put(make_endpoint(), 0.01, nobody))
    assert error.reason == CREATION
    assert error.cause is not None
    assert error.cause.reason == "Request timed out after [10ms] for inference id [e1]"


async def test_the_try_of_a_chat_waits_for_its_first_chunk():
    service, store = service_of(ScriptedProvider([StatusError(500, "no stream")]))
    error = await failing(service.put(make_endpoint(TaskType.CHAT_COMPLETION), None, nobody))
    assert (error.status, error.reason, store.endpoints) == (400, CREATION, {})
    assert error.root_cause().reason == "no stream"


async def test_what_follows_the_first_chunk_does_not_matter_to_the_try():
    service, store = service_of(ScriptedProvider([{"id": "1"}, StatusError(500, "broken")]))
    await service.put(make_endpoint(TaskType.CHAT_COMPLETION), None, nobody)
    assert "e1" in store.endpoints
