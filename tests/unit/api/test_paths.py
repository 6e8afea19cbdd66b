from __future__ import annotations

import pytest

from proxy.api.paths import EndpointPath, parse_path
from proxy.inference.endpoints import TaskType

BOTH = ("task_type_or_id", "inference_id")


async def test_ids_in_the_query_fill_the_path(proxy):
    await proxy.put("rerank")
    assert (await proxy("GET", "/_inference/rerank?inference_id=e1")).status == 200
    assert (await proxy("GET", "/_inference/foo?inference_id=e1")).reason == (
        "Unknown task_type [foo]"
    )
    assert (await proxy("GET", "/_inference//e1")).reason == "Unknown task_type []"
    assert (await proxy("GET", "/_inference/rerank/e1//")).status == 200


@pytest.mark.parametrize(
    ("in_path", "in_query", "path"),
    [
        ({}, {"inference_id": "x"}, EndpointPath()),
        ({"task_type": "RERANK"}, {}, EndpointPath(TaskType.RERANK, "", ("task_type",))),
        ({"task_type_or_id": "rerank"}, {}, EndpointPath(TaskType.ANY, "rerank", BOTH)),
        (
            {"task_type_or_id": "rerank"},
            {"inference_id": "x", "task_type_or_id": "y"},
            EndpointPath(TaskType.RERANK, "x", BOTH),
        ),
        (
            {"task_type_or_id": "rerank", "inference_id": "x"},
            {"inference_id": "y"},
            EndpointPath(TaskType.RERANK, "x", BOTH),
        ),
    ],
)
def test_a_path_names_a_task_an_id_or_both(in_path, in_query, path):
    assert parse_path(in_path, in_query) == path
