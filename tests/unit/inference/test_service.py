"""The use cases, with a store in memory and a provider that does what it is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import (
    CountMismatch,
    EndpointAlreadyExists,
    EndpointNotFound,
    EndpointNotUpdated,
    IllegalArgument,
    ProxyError,
    StatusError,
    StoreError,
)
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskSettings, TaskType, parse_update
from proxy.inference.releases import DEFAULT
from proxy.inference.requests import InferenceRequest
from proxy.inference.results import RankedDocument, SparseVector
from proxy.inference.service import InferenceService, refuse_streaming
from tests.support.samples import make_endpoint

CREATION = (
    "Could not complete inference endpoint creation as validation call to service threw an "
    "exception."
)


class Memory:
    """An EndpointStore in a dict."""

    def __init__(self, *endpoints: InferenceEndpoint) -> None:
        self.endpoints = {endpoint.inference_id: endpoint for endpoint in endpoints}
        self.broken = False

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, endpoint):
        if endpoint.inference_id in self.endpoints:
            raise EndpointAlreadyExists(endpoint.inference_id)
        self.endpoints[endpoint.inference_id] = endpoint

    async def get(self, inference_id):
        if self.broken:
            raise StoreError("the store is away")
        if inference_id not in self.endpoints:
            raise EndpointNotFound(inference_id)
        return self.endpoints[inference_id]

    async def find(self, task_type=None):
        found = sorted(self.endpoints.items())
        return [one for _, one in found if task_type in (None, one.task_type)]

    async def update(self, inference_id, change):
        self.endpoints[inference_id] = change(await self.get(inference_id))
        return self.endpoints[inference_id]

    async def delete(self, inference_id):
        await self.get(inference_id)
        del self.endpoints[inference_id]


class Told:
    """A Provider: keeps its calls; `outcome` is what each returns, or raises."""

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome
        self.calls: list[tuple[Any, ...]] = []
        self.called = asyncio.Event()

    async def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        self.called.set()
        if self.outcome == "hang":
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def embed(self, endpoint, inputs, deadline):
        return await self._answer("embed", list(inputs))

    async def embed_sparse(self, endpoint, inputs, deadline):
        return await self._answer("embed_sparse", list(inputs))

    async def rerank(self, endpoint, query, documents, deadline, *, top_n, return_documents):
        return await self._answer("rerank", query, list(documents), top_n, return_documents)

    async def complete(self, endpoint, text, deadline):
        return await self._answer("complete", text)

    async def chat(self, endpoint, request, deadline):
        return await self._answer("chat", request)

    @asynccontextmanager
    async def stream_completion(self, endpoint, text, deadline):
        outcome = await self._answer("stream_completion", text)
        yield _each(outcome)

    @asynccontextmanager
    async def stream_chat(self, endpoint, request, deadline):
        outcome = await self._answer("stream_chat", request)
        yield _each(outcome)


async def _each(items):
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


def service_of(provider: Told, *endpoints: InferenceEndpoint, timeout: float = 30.0):
    store = Memory(*endpoints)
    return InferenceService(store, provider, timeout), store


async def nobody() -> bool:
    return False


async def somebody() -> bool:
    return True


async def failing(call) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await call
    return caught.value


class TestPut:
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
    async def test_each_task_is_tried_its_own_way(self, task, outcome, call):
        provider = Told(outcome)
        service, store = service_of(provider)
        await service.put(make_endpoint(task), None, nobody)
        assert provider.calls == [call]
        assert "e1" in store.endpoints

    async def test_the_try_uses_the_endpoints_own_task_settings(self):
        provider = Told([])
        service, _ = service_of(provider)
        settings = TaskSettings(top_n=3, return_documents=True)
        await service.put(make_endpoint(TaskType.RERANK, task_settings=settings), None, nobody)
        assert provider.calls == [("rerank", "test query", ["how big"], 3, True)]

    async def test_the_first_vector_tells_the_dimensions(self):
        service, store = service_of(Told([[1.0, 2.0, 3.0], [1.0]]))
        endpoint = make_endpoint(dimensions=99, similarity="l2_norm")
        made = await service.put(endpoint, None, nobody)
        assert made == store.endpoints["e1"]
        assert (made.service_settings.dimensions, made.service_settings.similarity) == (
            3,
            "l2_norm",
        )

    async def test_cosine_is_the_similarity_unless_another_is_given(self):
        service, _ = service_of(Told([[1.0]]))
        made = await service.put(make_endpoint(), None, nobody)
        assert made.service_settings.similarity == "cosine"

    @pytest.mark.parametrize("outcome", [CountMismatch(0, 1), [[]]])
    async def test_a_try_without_a_vector_makes_no_endpoint(self, outcome):
        service, store = service_of(Told(outcome))
        error = await failing(service.put(make_endpoint(), None, nobody))
        assert (error.status, error.reason) == (400, "Could not determine embedding size")
        assert store.endpoints == {}

    async def test_a_try_that_fails_makes_no_endpoint(self):
        service, store = service_of(Told(StatusError(503, "busy")))
        error = await failing(service.put(make_endpoint(), None, nobody))
        assert (error.status, error.reason, store.endpoints) == (400, CREATION, {})
        assert error.root_cause().reason == "busy"

    async def test_a_try_takes_no_longer_than_it_may(self):
        service, _ = service_of(Told("hang"))
        error = await failing(service.put(make_endpoint(), 0.01, nobody))
        assert error.reason == CREATION
        assert error.cause is not None
        assert error.cause.reason == "Request timed out after [10ms] for inference id [e1]"

    async def test_an_id_is_used_once_and_only_after_the_try(self):
        provider = Told([[1.0]])
        service, _ = service_of(provider, make_endpoint())
        error = await failing(service.put(make_endpoint(), None, nobody))
        assert isinstance(error, EndpointAlreadyExists)
        assert len(provider.calls) == 1

    async def test_an_id_that_somebody_else_has_is_taken_too(self):
        service, store = service_of(Told([[1.0]]))
        error = await failing(service.put(make_endpoint(), None, somebody))
        assert isinstance(error, EndpointAlreadyExists)
        assert store.endpoints == {}


class TestGetAndDelete:
    async def test_a_task_that_is_named_must_be_the_endpoints(self):
        service, _ = service_of(Told(), make_endpoint(TaskType.RERANK))
        for task in (TaskType.ANY, TaskType.RERANK):
            assert (await service.get("e1", task)).inference_id == "e1"
        error = await failing(service.get("e1", TaskType.COMPLETION))
        assert error.reason == (
            "Requested task type [completion] does not match the inference endpoint's task type "
            "[rerank]"
        )
        error = await failing(service.endpoint_for("e1", TaskType.COMPLETION))
        assert error.reason == (
            "Incompatible task_type, the requested type [completion] does not match the model "
            "type [rerank]"
        )

    async def test_lists_may_be_of_one_task(self):
        two = replace(make_endpoint(TaskType.RERANK), inference_id="a")
        service, _ = service_of(Told(), make_endpoint(), two)
        assert [one.inference_id for one in await service.find(TaskType.ANY)] == ["a", "e1"]
        assert [one.inference_id for one in await service.find(TaskType.RERANK)] == ["a"]

    async def test_a_dry_run_deletes_nothing(self):
        service, store = service_of(Told(), make_endpoint())
        assert await service.delete("e1", TaskType.ANY, dry_run=True) == {
            "acknowledged": False,
            "pipelines": [],
            "indexes": [],
            "error_message": "",
        }
        assert "e1" in store.endpoints
        assert await service.delete("e1", TaskType.ANY, dry_run=False) == {
            "acknowledged": True,
            "pipelines": [],
            "indexes": [],
        }
        assert store.endpoints == {}

    async def test_what_is_not_there_cannot_be_deleted(self):
        service, store = service_of(Told(), make_endpoint())
        assert isinstance(
            await failing(service.delete("x", TaskType.ANY, dry_run=False)), EndpointNotFound
        )
        await failing(service.delete("e1", TaskType.RERANK, dry_run=False))
        assert "e1" in store.endpoints


UPDATE = parse_update(
    {"service_settings": {"api_key": "new"}, "task_settings": {"top_n": 2}}, DEFAULT.update
)


class TestUpdate:
    async def test_changes_the_stored_endpoint_without_a_call(self):
        provider = Told()
        service, store = service_of(provider, make_endpoint(TaskType.RERANK))
        changed = await service.update("e1", TaskType.RERANK, UPDATE)
        assert store.endpoints["e1"] == changed
        assert changed.secret_settings.api_key == "new"
        assert changed.task_settings.top_n == 2
        assert provider.calls == []

    async def test_a_missing_endpoint_is_told_in_other_words(self):
        service, _ = service_of(Told())
        error = await failing(service.update("x", TaskType.RERANK, UPDATE))
        assert isinstance(error, EndpointNotUpdated)

    async def test_the_task_must_be_the_endpoints(self):
        service, store = service_of(Told(), make_endpoint())
        error = await failing(service.update("e1", TaskType.RERANK, UPDATE))
        assert error.reason == "Task type must match the task type of the existing endpoint"
        assert store.endpoints["e1"] == make_endpoint()


class TestInference:
    @pytest.mark.parametrize(
        ("task", "outcome", "result"),
        [
            (TaskType.TEXT_EMBEDDING, [[1.0]], {"text_embedding": [{"embedding": [1.0]}]}),
            (
                TaskType.SPARSE_EMBEDDING,
                [SparseVector({"a": 1.0}, False)],
                {"sparse_embedding": [{"is_truncated": False, "embedding": {"a": 1.0}}]},
            ),
            (
                TaskType.RERANK,
                [RankedDocument(0, 0.5)],
                {"rerank": [{"index": 0, "relevance_score": 0.5}]},
            ),
            (TaskType.COMPLETION, ["a"], {"completion": [{"result": "a"}]}),
        ],
    )
    async def test_each_task_has_its_result(self, task, outcome, result):
        service, _ = service_of(Told(outcome))
        request = InferenceRequest(input=["x"], query="q")
        assert await service.infer(make_endpoint(task), request, None) == result

    @pytest.mark.parametrize(
        ("stored", "asked", "sent"),
        [
            ((None, None), (None, None), (None, None)),
            ((3, True), (None, None), (3, True)),
            ((3, True), (1, False), (1, False)),
            ((3, None), (None, False), (3, False)),
        ],
    )
    async def test_a_requests_own_fields_beat_the_stored_settings(self, stored, asked, sent):
        provider = Told([])
        service, _ = service_of(provider)
        settings = TaskSettings(top_n=stored[0], return_documents=stored[1])
        endpoint = make_endpoint(TaskType.RERANK, task_settings=settings)
        request = InferenceRequest(
            input=["x"],
            query="q",
            top_n=asked[0],
            return_documents=asked[1],
            task_settings={"top_n": 9, "return_documents": True},
        )
        await service.infer(endpoint, request, None)
        assert provider.calls == [("rerank", "q", ["x"], *sent)]

    async def test_reranking_needs_a_query_but_takes_an_empty_one(self):
        service, _ = service_of(Told([]))
        endpoint = make_endpoint(TaskType.RERANK)
        error = await failing(service.infer(endpoint, InferenceRequest(input=["x"]), None))
        assert error.reason == (
            "Validation Failed: 1: Rerank task type requires a non-null query field;"
        )
        await service.infer(endpoint, InferenceRequest(input=["x"], query=""), None)

    async def test_a_completion_takes_one_input(self):
        provider = Told()
        service, _ = service_of(provider)
        request = InferenceRequest(input=["a", "b"])
        error = await failing(service.infer(make_endpoint(TaskType.COMPLETION), request, None))
        assert error.reason == "Hugging Face completions only accepts 1 input"
        assert provider.calls == []

    async def test_an_input_type_is_refused_before_any_call(self):
        provider = Told()
        service, _ = service_of(provider)
        request = InferenceRequest(input=["a"], input_type="search")
        await failing(service.infer(make_endpoint(), request, None))
        assert provider.calls == []

    @pytest.mark.parametrize(("timeout", "text"), [(None, "20ms"), (0.01, "10ms")])
    async def test_a_request_takes_no_longer_than_it_may(self, timeout, text):
        service, _ = service_of(Told("hang"), timeout=0.02)
        request = InferenceRequest(input=["a"])
        error = await failing(service.infer(make_endpoint(), request, timeout))
        assert (error.status, error.type) == (429, "timeout_exception")
        assert error.reason == f"Request timed out after [{text}] for inference id [e1]"

    async def test_a_timeout_of_minus_one_is_none(self):
        service, _ = service_of(Told([[1.0]]), timeout=0.0)
        await service.infer(make_endpoint(), InferenceRequest(input=["a"]), -1.0)

    async def test_a_request_can_be_cancelled(self):
        provider = Told("hang")
        service, _ = service_of(provider)
        async with asyncio.TaskGroup() as group:
            request = InferenceRequest(input=["a"])
            task = group.create_task(service.infer(make_endpoint(), request, None))
            await provider.called.wait()
            task.cancel()
        assert task.cancelled()


class TestStreams:
    async def test_deltas_become_events(self):
        service, _ = service_of(Told([["a"], ["b", "c"]]))
        request = InferenceRequest(input=["x"])
        async with service.stream(make_endpoint(TaskType.COMPLETION), request, None) as events:
            assert [event async for event in events] == [
                {"completion": [{"delta": "a"}]},
                {"completion": [{"delta": "b"}, {"delta": "c"}]},
            ]

    async def test_chunks_pass_through(self):
        service, _ = service_of(Told([{"id": "1"}]))
        chat = ChatRequest(messages=[{"role": "user"}])
        async with service.chat(make_endpoint(TaskType.CHAT_COMPLETION), chat, None) as chunks:
            assert [chunk async for chunk in chunks] == [{"id": "1"}]

    async def test_the_timeout_is_for_the_beginning(self):
        service, _ = service_of(Told("hang"))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), 0.01
        )
        error = await failing(stream.__aenter__())
        assert error.type == "timeout_exception"
        service, _ = service_of(Told([["a"]]))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), 0.01
        )
        async with stream as events:
            await asyncio.sleep(0.03)
            assert len([event async for event in events]) == 1

    async def test_a_failure_in_the_middle_comes_after_what_was_there(self):
        service, _ = service_of(Told([["a"], IllegalArgument("broken")]))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), None
        )
        async with stream as events:
            assert await anext(events) == {"completion": [{"delta": "a"}]}
            assert (await failing(anext(events))).reason == "broken"

    @pytest.mark.parametrize("task", [TaskType.COMPLETION, TaskType.CHAT_COMPLETION])
    def test_completions_can_be_streamed(self, task):
        refuse_streaming(make_endpoint(task), TaskType.ANY)

    @pytest.mark.parametrize("requested", [TaskType.ANY, TaskType.RERANK])
    def test_other_tasks_cannot(self, requested):
        with pytest.raises(StatusError) as caught:
            refuse_streaming(make_endpoint(TaskType.RERANK), requested)
        assert caught.value.status == 405
        assert caught.value.reason == (
            f"Streaming is not allowed for service [hugging_face] and task [{requested}]. "
            "Supported tasks: [completion,chat_completion]"
        )


async def test_a_store_that_is_away_is_told():
    service, store = service_of(Told(), make_endpoint())
    store.broken = True
    for call in (
        service.get("e1", TaskType.ANY),
        service.endpoint_for("e1", TaskType.ANY),
        service.delete("e1", TaskType.ANY, dry_run=False),
        service.update("e1", TaskType.TEXT_EMBEDDING, UPDATE),
    ):
        assert isinstance(await failing(call), StoreError)
