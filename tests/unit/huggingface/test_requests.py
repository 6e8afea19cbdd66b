"""The bodies of calls, as Elasticsearch writes them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.huggingface.batching import Batch, texts_of
from proxy.huggingface.requests import chat_body, completion_body, embedding_body, rerank_body
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from tests.support.samples import make_endpoint

MESSAGES: list[Any] = [{"role": "user", "content": "x"}]
STREAMED = {"n": 1, "stream": True, "stream_options": {"include_usage": True}}


def endpoint(model_id: str | None = None) -> InferenceEndpoint:
    return make_endpoint(TaskType.COMPLETION, model_id=model_id)


BATCH = Batch(texts_of(["a", "b"]))


def test_texts_to_embed():
    assert embedding_body(BATCH) == {"inputs": ["a", "b"]}


@pytest.mark.parametrize(
    ("top_n", "texts", "more"),
    [(None, None, {}), (3, False, {"top_n": 3, "return_text": False})],
)
def test_texts_to_rank(top_n: int | None, texts: bool | None, more: Any):
    made = rerank_body(BATCH, "q", top_n=top_n, return_documents=texts)
    assert made == {"texts": ["a", "b"], "query": "q", **more}


def test_a_completion_is_a_chat_of_one_message():
    made = completion_body(endpoint("m"), "x", stream=False)
    assert made == {
        "messages": [{"content": "x", "role": "user"}],
        "model": "m",
        "n": 1,
        "stream": False,
    }
    streamed = completion_body(endpoint(), "x", stream=True)
    assert streamed == {"messages": [{"content": "x", "role": "user"}], **STREAMED}


def test_a_chat_has_what_its_request_gives():
    request = ChatRequest(messages=MESSAGES, temperature=0.0, stop=[], max_completion_tokens=5)
    made = chat_body(endpoint("m"), request, stream=True)
    assert made == {
        "messages": MESSAGES,
        "temperature": 0.0,
        "max_tokens": 5,
        "model": "m",
        **STREAMED,
    }


def test_the_model_of_a_request_goes_before_that_of_the_endpoint():
    request = ChatRequest(messages=MESSAGES, model="own")
    assert chat_body(endpoint("m"), request, stream=True)["model"] == "own"
    assert "model" not in chat_body(endpoint(), ChatRequest(messages=MESSAGES), stream=True)
