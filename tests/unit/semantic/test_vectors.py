"""The texts of queries: each is embedded once, and what fails is the error of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.ground.errors import (
    EndpointNotFound,
    IllegalArgument,
    ProxyError,
    StatusError,
)
from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.semantic.vectors import Vectors, Wanted, embedded
from proxy.xcontent.numbers import Numbers
from tests.unit.semantic import exchanges

DENSE: Final = TaskType.TEXT_EMBEDDING


class Endpoints(exchanges.Endpoints):
    """Makes vectors of the length of texts."""

    def __init__(self, task: TaskType = TaskType.TEXT_EMBEDDING) -> None:
        super().__init__()
        self.task = task
        self.failure: ProxyError | None = None

    async def find(self, inference_id: str) -> Any:
        if inference_id == "gone":
            return None
        return replace(await super().find(inference_id), task_type=self.task)

    async def embed(
        self, endpoint: Any, texts: Sequence[str], deadline: Deadline, input_type: str
    ) -> list[Numbers]:
        assert input_type == "search"
        self.calls.append([endpoint.inference_id, *texts])
        if self.failure is not None:
            raise self.failure
        return [Numbers.of([float(len(text))]) for text in texts]


async def of(endpoints: Endpoints, *wanted: Wanted) -> Vectors:
    return await embedded(wanted, endpoints, NO_DEADLINE)


async def test_each_text_is_embedded_once_and_all_of_an_endpoint_together():
    endpoints = Endpoints()
    one, other = Wanted("e", "a"), Wanted("f", "a")
    found = await of(endpoints, one, Wanted("e", "bb"), one, Wanted("e", "a", True), other)
    assert sorted(endpoints.calls) == [["e", "a", "bb"], ["f", "a"]]
    made = found[Wanted("e", "bb")].vector
    assert made is found.of_task(Wanted("e", "bb"), DENSE)
    assert made.json == b"[2.0]"


async def test_what_fails_is_kept_and_raised_where_it_is_asked_for():
    endpoints = Endpoints()
    endpoints.failure = StatusError(429, "too many")
    found = await of(endpoints, Wanted("e", "a"), Wanted("gone", "a"), Wanted("gone", "a", True))
    with pytest.raises(StatusError, match="too many"):
        found[Wanted("e", "a")]
    with pytest.raises(EndpointNotFound):
        found[Wanted("gone", "a")]
    with pytest.raises(EndpointNotFound) as caught:
        found.of_task(Wanted("gone", "a", True), DENSE)
    assert "is not an inference service model or a deployed ml model" in caught.value.reason


async def test_endpoints_of_other_tasks_make_no_vectors():
    endpoints = Endpoints(TaskType.RERANK)
    found = await of(endpoints, Wanted("e", "a"))
    assert found[Wanted("e", "a")].task is TaskType.RERANK
    assert endpoints.calls == []
    with pytest.raises(IllegalArgument, match=r"received \[rerank\]\. Is \[e\] a text embedding"):
        found.of_task(Wanted("e", "a"), DENSE)
