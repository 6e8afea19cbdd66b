"""The use cases, with a store in memory and a scripted provider."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.ground.errors import (
    EndpointAlreadyExists,
    EndpointNotFound,
    EndpointNotUpdated,
    IllegalArgument,
    StatusError,
    StoreError,
)
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import TaskSettings, TaskType
from proxy.inference.ports import NoDependents
from proxy.inference.releases import PROFILES
from proxy.inference.requests import InferenceRequest
from proxy.inference.results import RankedDocument, SparseVector
from proxy.inference.service import refuse_streaming
from proxy.inference.updates import parse_update
from proxy.xcontent.numbers import Numbers
from tests.support.provider import ScriptedProvider
from tests.support.samples import PROFILE, make_endpoint
from tests.support.services import failing, service_of


async def nobody() -> bool:
    return False


async def somebody() -> bool:
    return True


class TestPut:
    async def test_an_id_is_used_once_and_only_after_the_try(self):
        provider = ScriptedProvider([[1.0]])
        service, _ = service_of(provider, make_endpoint())
        error = await failing(service.put(make_endpoint(), None, nobody))
        assert isinstance(error, EndpointAlreadyExists)
        assert len(provider.calls) == 1

    async def test_an_id_that_somebody_else_has_is_taken_too(self):
        service, store = service_of(ScriptedProvider([[1.0]]))
        error = await failing(service.put(make_endpoint(), None, somebody))
        assert isinstance(error, EndpointAlreadyExists)
        assert store.endpoints == {}

    async def test_an_id_is_not_used_again_with_another_model(self):
        tried = []

        class Dependents(NoDependents):
            async def misfits_of(self, endpoint):
                tried.append(endpoint.service_settings.dimensions)
                return ("a", "b")

        service, store = service_of(ScriptedProvider([[1.0, 0.0]]))
        error = await failing(service.put(make_endpoint(), None, nobody, Dependents()))
        assert error.status == 400
        assert error.reason == (
            "Inference endpoint [e1] could not be created because the inference_id is being used "
            "in mappings with incompatible settings for indices: [a, b]. Please either use a "
            "different inference_id or update the index mappings to refer to a different "
            "inference_id."
        )
        assert tried == [2]
        assert store.endpoints == {}


class TestGetAndDelete:
    async def test_a_task_that_is_named_must_be_the_endpoints(self):
        service, _ = service_of(ScriptedProvider(), make_endpoint(TaskType.RERANK))
        for task in (TaskType.ANY, TaskType.RERANK):
            assert (await service.get("e1", task)).endpoint.inference_id == "e1"
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
        service, _ = service_of(ScriptedProvider(), make_endpoint(), two)
        assert [one.inference_id for one in (await service.find(TaskType.ANY)).endpoints] == [
            "a",
            "e1",
        ]
        assert [one.inference_id for one in (await service.find(TaskType.RERANK)).endpoints] == [
            "a"
        ]

    async def test_a_dry_run_deletes_nothing(self):
        service, store = service_of(ScriptedProvider(), make_endpoint())
        assert (await service.delete("e1", TaskType.ANY, dry_run=True)).result == {
            "acknowledged": False,
            "pipelines": [],
            "indexes": [],
            "error_message": "",
        }
        assert "e1" in store.endpoints
        assert (await service.delete("e1", TaskType.ANY, dry_run=False)).result == {
            "acknowledged": True,
            "pipelines": [],
            "indexes": [],
        }
        assert store.endpoints == {}

    async def test_answers_say_whether_they_rest_on_a_stale_endpoint(self):
        service, store = service_of(ScriptedProvider([]), make_endpoint(TaskType.RERANK))
        update = parse_update({"task_settings": {"top_n": 2}}, PROFILES["9.5"].update)
        for stale in (False, True):
            store.stale = stale
            for task in (TaskType.ANY, TaskType.RERANK):
                assert (await service.get("e1", task)).stale is stale
                assert (await service.endpoint_for("e1", task)).stale is stale
                assert (await service.delete("e1", task, dry_run=True)).stale is stale
            for _ in ("a change", "no change"):
                assert (await service.update("e1", TaskType.RERANK, update, None)).stale is stale
        assert (await service.delete("e1", TaskType.ANY, dry_run=False)).stale

    async def test_what_is_not_there_cannot_be_deleted(self):
        service, store = service_of(ScriptedProvider(), make_endpoint())
        assert isinstance(
            await failing(service.delete("x", TaskType.ANY, dry_run=False)), EndpointNotFound
        )
        await failing(service.delete("e1", TaskType.RERANK, dry_run=False))
        assert "e1" in store.endpoints


UPDATE = parse_update(
    {"service_settings": {"api_key": "new"}, "task_settings": {"top_n": 2}}, PROFILE.update
)


class TestUpdate:
    async def test_changes_the_stored_endpoint_without_a_call(self):
        provider = ScriptedProvider()
        service, store = service_of(provider, make_endpoint(TaskType.RERANK))
        changed = (await service.update("e1", TaskType.RERANK, UPDATE, None)).endpoint
        assert store.endpoints["e1"] == changed
        assert changed.secret_settings.api_key == "new"
        assert changed.task_settings.top_n == 2
        assert provider.calls == []

    async def test_a_missing_endpoint_is_told_in_other_words(self):
        service, _ = service_of(ScriptedProvider())
        error = await failing(service.update("x", TaskType.RERANK, UPDATE, None))
        assert isinstance(error, EndpointNotUpdated)

    async def test_the_task_must_be_the_endpoints(self):
        service, store = service_of(ScriptedProvider(), make_endpoint())
        error = await failing(service.update("e1", TaskType.RERANK, UPDATE, None))
        assert error.reason == "Task type must match the task type of the existing endpoint"
        assert store.endpoints["e1"] == make_endpoint()


class TestInference:
    @pytest.mark.parametrize(
        ("task", "outcome", "result"),
        [
            (
                TaskType.TEXT_EMBEDDING,
                [[1.0]],
                {"text_embedding": [{"embedding": Numbers.of([1.0])}]},
            ),
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
        service, _ = service_of(ScriptedProvider(outcome))
        request = InferenceRequest(input=["x"], query="q")
        assert await service.infer(make_endpoint(task), request, None) == result

    async def test_vectors_that_are_at_hand_need_no_call(self):
        provider = ScriptedProvider()
        provider.kept = [Numbers.of([1.0])]
        service, _ = service_of(provider)
        answer = await service.infer(make_endpoint(), InferenceRequest(input=["x"]), None)
        assert answer == {"text_embedding": [{"embedding": Numbers.of([1.0])}]}
        assert provider.calls == []

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
        provider = ScriptedProvider([])
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
        service, _ = service_of(ScriptedProvider([]))
        endpoint = make_endpoint(TaskType.RERANK)
        error = await failing(service.infer(endpoint, InferenceRequest(input=["x"]), None))
        assert error.reason == (
            "Validation Failed: 1: Rerank task type requires a non-null query field;"
        )
        await service.infer(endpoint, InferenceRequest(input=["x"], query=""), None)

    async def test_a_completion_takes_one_input(self):
        provider = ScriptedProvider()
        service, _ = service_of(provider)
        request = InferenceRequest(input=["a", "b"])
        error = await failing(service.infer(make_endpoint(TaskType.COMPLETION), request, None))
        assert error.reason == "Hugging Face completions only accepts 1 input"
        assert provider.calls == []

    async def test_an_input_type_is_refused_before_any_call(self):
        provider = ScriptedProvider()
        service, _ = service_of(provider)
        request = InferenceRequest(input=["a"], input_type="search")
        await failing(service.infer(make_endpoint(), request, None))
        assert provider.calls == []

    @pytest.mark.parametrize(("timeout", "text"), [(None, "20ms"), (0.01, "10ms")])
    async def test_a_request_takes_no_longer_than_it_may(self, timeout, text):
        service, _ = service_of(ScriptedProvider("hang"), timeout=0.02)
        request = InferenceRequest(input=["a"])
        error = await failing(service.infer(make_endpoint(), request, timeout))
        assert (error.status, error.type) == (429, "timeout_exception")
        assert error.reason == f"Request timed out after [{text}] for inference id [e1]"

    async def test_a_timeout_of_minus_one_is_none(self):
        service, _ = service_of(ScriptedProvider([[1.0]]), timeout=0.0)
        await service.infer(make_endpoint(), InferenceRequest(input=["a"]), -1.0)

    async def test_a_request_can_be_cancelled(self):
        provider = ScriptedProvider("hang")
        service, _ = service_of(provider)
        async with asyncio.TaskGroup() as group:
            request = InferenceRequest(input=["a"])
            task = group.create_task(service.infer(make_endpoint(), request, None))
            await provider.called.wait()
            task.cancel()
        assert task.cancelled()


class TestStreams:
    async def test_deltas_become_events(self):
        service, _ = service_of(ScriptedProvider([["a"], ["b", "c"]]))
        request = InferenceRequest(input=["x"])
        with await service.stream(make_endpoint(TaskType.COMPLETION), request, None) as events:
            assert [event async for event in events] == [
                {"completion": [{"delta": "a"}]},
                {"completion": [{"delta": "b"}, {"delta": "c"}]},
            ]

    async def test_chunks_pass_through(self):
        service, _ = service_of(ScriptedProvider([{"id": "1"}]))
        chat = ChatRequest(messages=[{"role": "user"}])
        with await service.chat(make_endpoint(TaskType.CHAT_COMPLETION), chat, None) as chunks:
            assert [chunk async for chunk in chunks] == [{"id": "1"}]

    async def test_the_timeout_is_for_the_beginning(self):
        service, _ = service_of(ScriptedProvider("hang"))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), 0.01
        )
        error = await failing(stream)
        assert error.type == "timeout_exception"
        service, _ = service_of(ScriptedProvider([["a"]]))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), 0.01
        )
        with await stream as events:
            await asyncio.sleep(0.03)
            assert len([event async for event in events]) == 1

    async def test_a_failure_in_the_middle_comes_after_what_was_there(self):
        service, _ = service_of(ScriptedProvider([["a"], IllegalArgument("broken")]))
        stream = service.stream(
            make_endpoint(TaskType.COMPLETION), InferenceRequest(input=["x"]), None
        )
        with await stream as events:
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
    service, store = service_of(ScriptedProvider(), make_endpoint())
    store.failure = StoreError("the store is away")
    for call in (
        service.get("e1", TaskType.ANY),
        service.endpoint_for("e1", TaskType.ANY),
        service.delete("e1", TaskType.ANY, dry_run=False),
        service.update("e1", TaskType.TEXT_EMBEDDING, UPDATE, None),
    ):
        assert isinstance(await failing(call), StoreError)
