from __future__ import annotations

import pytest

from proxy.inference.endpoints import TaskType
from proxy.inference.tasktypes import parse_task_type, resolve_task_type
from tests.support.samples import refusal_of


@pytest.mark.parametrize("text", [" Rerank ", "RERANK", "rerank"])
def test_are_trimmed_and_of_any_letter_case(text):
    assert parse_task_type(text) is TaskType.RERANK


@pytest.mark.parametrize("text", ["", "foo", "text embedding"])
def test_unknown_ones_are_named_as_they_came(text):
    error = refusal_of(lambda: parse_task_type(text))
    assert error is not None
    assert (error.type, error.reason) == ("status_exception", f"Unknown task_type [{text}]")


@pytest.mark.parametrize(
    ("path", "body", "task"),
    [
        ("any", "rerank", "rerank"),
        ("any", " Rerank", "rerank"),
        ("rerank", None, "rerank"),
        ("rerank", "RERANK", "rerank"),
        ("rerank", "any", "rerank"),
    ],
)
def test_path_and_body_may_both_name_one(path, body, task):
    assert resolve_task_type(TaskType(path), body) == task


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("any", None, "model is missing required setting [task_type]"),
        ("any", "any", "task_type [any] is not valid type for inference"),
        ("any", "foo", "Unknown task_type [foo]"),
        ("any", "", "Unknown task_type []"),
        ("rerank", "foo", "Unknown task_type [foo]"),
        (
            "rerank",
            "Completion",
            "Cannot resolve conflicting task_type parameter in the request URL [rerank] and "
            "the request body [Completion]",
        ),
    ],
)
def test_but_not_two_or_none(path, body, reason):
    error = refusal_of(lambda: resolve_task_type(TaskType(path), body))
    assert error is not None
    assert (error.status, error.type, error.reason) == (400, "status_exception", reason)


@pytest.mark.parametrize("body", [5, 1.5, True, ["rerank"], {"a": 1}])
def test_a_task_type_of_the_wrong_type_is_the_callers_mistake(body):
    error = refusal_of(lambda: resolve_task_type(TaskType.ANY, body))
    assert error is not None
    assert (error.status, error.type) == (400, "illegal_argument_exception")
    assert "[task_type]" in error.reason
