"""Endpoints of ours that clients take for trained models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument, Unauthorized
from proxy.inference.endpoints import TaskType
from tests.unit.semantic import exchanges
from tests.unit.semantic.exchanges import World, world
from tests.unit.semantic.targets import target

BODY: Final = {"docs": [{"text_field": "a"}, {"text_field": "bb"}]}
PATH: Final = "/_ml/trained_models/e/_infer"


class Endpoints(exchanges.Endpoints):
    def __init__(self, task: TaskType = TaskType.TEXT_EMBEDDING) -> None:
        super().__init__()
        self.task = task

    async def find(self, inference_id):
        if inference_id != "e":
            return None
        return replace(await super().find(inference_id), task_type=self.task)

    async def infer(self, endpoint, texts, deadline, input_type=None):
        self.calls.append(list(texts))
        return [[float(len(text))] for text in texts]


def here(task: TaskType = TaskType.TEXT_EMBEDDING) -> World:
    made = world(target())
    made.endpoints = Endpoints(task)
    return made


@pytest.mark.parametrize("path", [PATH, "/_ml/trained_models/e/deployment/_infer"])
async def test_the_texts_of_documents_are_embedded(path: str):
    answer = await here().request("POST", path, BODY)
    assert answer == {"inference_results": [{"predicted_value": [1.0]}, {"predicted_value": [2.0]}]}


@pytest.mark.parametrize(
    ("task", "path"),
    [
        (TaskType.RERANK, PATH),
        (TaskType.TEXT_EMBEDDING, "/_ml/trained_models/other/_infer"),
    ],
)
async def test_other_models_are_the_upstreams(task: TaskType, path: str):
    before = here(task)
    await before.request("POST", path, BODY)
    assert len(before.upstream.handed) == 1


@pytest.mark.parametrize(
    "body", [b"", {}, {"docs": []}, {"docs": {}}, {"docs": [1]}, {"docs": [{"text_field": 1}]}]
)
async def test_documents_need_a_text(body: Any):
    with pytest.raises(IllegalArgument):
        await here().request("POST", PATH, body)


async def test_nothing_is_embedded_for_who_may_not():
    before = here()
    before.guard.denial = Unauthorized("you may not")
    with pytest.raises(Unauthorized):
        await before.request("POST", PATH, BODY)
    assert before.endpoints.calls == []


async def test_a_time_that_is_none_is_refused():
    with pytest.raises(IllegalArgument):
        await here().request("POST", f"{PATH}?timeout=soon", BODY)
