"""Calls to providers, of which those learn who look after endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.inference.endpoints import TaskType
from proxy.inference.maintained import MaintainedProvider
from proxy.limits.deadline import NO_DEADLINE
from proxy.xcontent.numbers import Numbers
from tests.support.provider import ScriptedProvider
from tests.support.samples import make_endpoint


class Told:
    """What finds dimensions, warmth and guard in one, that write down what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refuses = False

    def note(self, endpoint: Any, vectors: Any) -> None:
        self.told.append("completed")

    def used(self, endpoint: Any) -> None:
        self.told.append("used")

    async def before(self, endpoint: Any) -> Any:
        self.told.append("before")
        if self.refuses:
            raise ValueError("another model")
        return endpoint.asked_anew()

    async def after(self, endpoint: Any) -> None:
        self.told.append("after")


def maintained(outcome: Any) -> tuple[MaintainedProvider, ScriptedProvider, Told]:
    provider, told = ScriptedProvider(outcome), Told()
    anything: Any = told
    return MaintainedProvider(provider, anything, anything, anything), provider, told


async def test_of_vectors_everybody_learns():
    made, provider, told = maintained([[1.0]])
    (vector,) = await made.embed(make_endpoint(), ["a"], NO_DEADLINE)
    assert list(vector) == [1.0]
    assert provider.calls == [("embed", ["a"])]
    assert told.told == ["before", "after", "completed", "used"]


async def test_an_endpoint_is_called_as_the_guard_says():
    made, provider, _ = maintained([[1.0]])
    await made.embed(replace(make_endpoint(), revision="r1"), ["a"], NO_DEADLINE)
    assert provider.endpoint.revision is None


async def test_of_vectors_that_are_at_hand_all_but_the_guard_learn():
    provider, told = ScriptedProvider(), Told()
    anything: Any = told
    made = MaintainedProvider(provider, anything, anything, None)
    assert made.at_hand(make_endpoint(), ["a"]) is None
    assert told.told == []
    provider.kept = [Numbers.of([1.0])]
    assert made.at_hand(make_endpoint(), ["a"]) == provider.kept
    assert told.told == ["completed", "used"]


async def test_of_a_guarded_model_nothing_is_at_hand():
    made, provider, _ = maintained([[1.0]])
    provider.kept = [Numbers.of([1.0])]
    assert made.at_hand(make_endpoint(), ["a"]) is None


async def test_a_model_that_must_not_be_used_is_not_called():
    made, provider, told = maintained([[1.0]])
    told.refuses = True
    with pytest.raises(ValueError, match="another model"):
        await made.embed(make_endpoint(), ["a"], NO_DEADLINE)
    assert provider.calls == []


async def test_a_failed_call_is_no_use():
    made, _, told = maintained(ValueError("failed"))
    with pytest.raises(ValueError, match="failed"):
        await made.embed_sparse(make_endpoint(TaskType.SPARSE_EMBEDDING), ["a"], NO_DEADLINE)
    assert told.told == []


async def test_other_calls_are_passed_on():
    endpoint = make_endpoint(TaskType.RERANK)
    provider_made, provider, told = maintained("outcome")
    made: Any = provider_made
    assert await made.embed_sparse(endpoint, ["a"], NO_DEADLINE) == "outcome"
    assert (
        await made.rerank(endpoint, "q", ["a"], NO_DEADLINE, top_n=3, return_documents=True)
        == "outcome"
    )
    assert told.told == ["used", "used"]
    assert await made.complete(endpoint, "a", NO_DEADLINE) == "outcome"
    request: Any = "request"
    assert await made.chat(endpoint, request, NO_DEADLINE) == "outcome"
    with await made.stream_completion(endpoint, "a", NO_DEADLINE):
        pass
    with await made.stream_chat(endpoint, request, NO_DEADLINE):
        pass
    made.forget("e")
    assert told.told == ["used", "used"]  # chats are not kept warm
    assert provider.calls == [
        ("embed_sparse", ["a"]),
        ("rerank", "q", ["a"], 3, True),
        ("complete", "a"),
        ("chat", "request"),
        ("stream_completion", "a"),
        ("stream_chat", "request"),
        ("forget", "e"),
    ]
