"""Endpoints for those who embed without a request to the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.ground.errors import EndpointNotFound, RequestTimedOut, StatusError, StoreError
from proxy.inference.embedding import EmbeddingEndpoints
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.inference.results import RankedDocument, SparseVector
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.xcontent.numbers import Numbers
from tests.support.provider import ScriptedProvider

DEADLINE = NO_DEADLINE


def endpoint(task: TaskType = TaskType.TEXT_EMBEDDING) -> InferenceEndpoint:
    return InferenceEndpoint(
        inference_id="e",
        task_type=task,
        service_settings=ServiceSettings(url="http://provider"),
        secret_settings=SecretSettings(api_key="hf_secret"),
    )


class Provider:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def embed(self, endpoint: Any, inputs: Sequence[str], deadline: Deadline) -> Any:
        self.sent += inputs
        return [Numbers.of([float(len(one))]) for one in inputs]

    async def embed_sparse(self, endpoint: Any, inputs: Sequence[str], deadline: Deadline) -> Any:
        return [SparseVector(tokens={one: 0.5}, is_truncated=False) for one in inputs]

    async def complete(self, endpoint: Any, text: str, deadline: Deadline) -> list[str]:
        return [text.upper()]

    async def rerank(
        self, endpoint: Any, query: str, documents: Sequence[str], deadline: Deadline, **_: Any
    ) -> Any:
        self.sent += [query, *documents]
        return [RankedDocument(index=1, relevance_score=0.5, text=None)]


class Store:
    def __init__(self, found: Any) -> None:
        self.found = found

    async def get(self, inference_id: str) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return SimpleNamespace(endpoint=self.found)


def endpoints(provider: Any, found: Any = None, **prefixes: str) -> EmbeddingEndpoints:
    store: Any = Store(found)
    unused: Any = None
    return EmbeddingEndpoints(store, provider, unused, lambda _: prefixes)


async def test_an_endpoint_that_there_is_not_is_none():
    assert await endpoints(Provider(), endpoint()).find("e") == endpoint()
    assert await endpoints(Provider(), EndpointNotFound("e")).find("e") is None
    with pytest.raises(StoreError):
        await endpoints(Provider(), StoreError("away")).find("e")


async def test_texts_are_sent_with_their_prefix_and_as_utf8_can_carry_them():
    provider = Provider()
    found = await endpoints(provider, search="query: ").embed(
        endpoint(), ["a", "\ud83d", "é"], DEADLINE, "search"
    )
    assert provider.sent == ["query: a", "query: \ufffd", "query: é"]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("task", "made"),
    [
        (TaskType.TEXT_EMBEDDING, [[1.0], [2.0]]),
        (TaskType.SPARSE_EMBEDDING, [{"a": 0.5}, {"bb": 0.5}]),
        (TaskType.COMPLETION, ["A", "BB"]),
    ],
)
async def test_what_a_task_makes_of_texts(task: TaskType, made: Any):
    assert await endpoints(Provider()).infer(endpoint(task), ["a", "bb"], DEADLINE) == made


@pytest.mark.parametrize("task", [TaskType.RERANK, TaskType.CHAT_COMPLETION])
async def test_tasks_that_take_no_texts_alone(task: TaskType):
    with pytest.raises(StatusError, match="Coordination format not supported"):
        await endpoints(Provider()).infer(replace(endpoint(), task_type=task), ["a"], DEADLINE)


async def test_texts_are_ranked_for_a_query():
    provider = Provider()
    found = await endpoints(provider).rerank(endpoint(TaskType.RERANK), "q\ud800", ["a"], DEADLINE)
    assert found == [(1, 0.5)]
    assert provider.sent == ["q\ufffd", "a"]


async def test_a_sparse_endpoint_gives_weights():
    found = await endpoints(Provider(), search="q: ").embed(
        endpoint(TaskType.SPARSE_EMBEDDING), ["a"], DEADLINE, "search"
    )
    assert [one.json for one in found] == [b'{"q: a":0.5}']


@pytest.mark.parametrize("task", [TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING])
async def test_a_call_that_is_not_answered_ends_at_the_deadline(task: TaskType):
    hanging, soon = endpoints(ScriptedProvider("hang")), Deadline.after(0.02)
    late = r"Request timed out after \[\d+ms\] for inference id \[e\]"
    with pytest.raises(RequestTimedOut, match=late):
        await hanging.infer(endpoint(task), ["a"], soon)
    for call in (
        hanging.embed(endpoint(task), ["a"], soon, "ingest"),
        hanging.rerank(endpoint(TaskType.RERANK), "q", ["a"], soon),
    ):
        with pytest.raises(RequestTimedOut, match=r"after \[0s\]"):
            await call
