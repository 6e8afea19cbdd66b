from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from proxy.inference.endpoints import SERVICE, TaskType
from proxy.inference.rendering import render_endpoint
from proxy.inference.settings import parse_endpoint
from tests.support.samples import TOKEN

GOOD = {"url": "http://h/", "api_key": TOKEN}


def put(task: TaskType, settings: Any = None, service: str = SERVICE, **body: Any):
    body = {"service_settings": GOOD if settings is None else settings, **body}
    return parse_endpoint(task, "e1", service, body)


def test_keys_stand_in_elasticsearchs_order():
    endpoint = replace(
        put(
            TaskType.TEXT_EMBEDDING,
            {**GOOD, "max_input_tokens": 5, "dimensions": 3, "similarity": "l2_norm"},
        )
    )
    assert json.dumps(render_endpoint(endpoint)) == json.dumps(
        {
            "inference_id": "e1",
            "task_type": "text_embedding",
            "service": "hugging_face",
            "service_settings": {
                "url": "http://h/",
                "similarity": "l2_norm",
                "dimensions": 3,
                "max_input_tokens": 5,
                "rate_limit": {"requests_per_minute": 3000},
            },
            "chunking_settings": {
                "strategy": "sentence",
                "max_chunk_size": 250,
                "sentence_overlap": 1,
            },
        }
    )


def test_task_settings_are_shown_where_there_are_some():
    assert "task_settings" not in render_endpoint(put(TaskType.RERANK))
    shown = render_endpoint(
        put(TaskType.RERANK, task_settings={"return_documents": False, "top_n": 2})
    )
    assert list(shown["task_settings"].items()) == [("top_n", 2), ("return_documents", False)]


def test_a_model_comes_before_the_url():
    shown = render_endpoint(put(TaskType.COMPLETION, {**GOOD, "model_id": "m"}))
    assert list(shown["service_settings"]) == ["model_id", "url", "rate_limit"]
