"""The requests on Elastic's page about this service, and checks of what real models answer.

All clients send the same ones. Source: "Create a Hugging Face inference endpoint" in the
Elasticsearch API documentation; its `url-endpoint` is the local provider here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import orjson

from tests.contract.compare import Event, parse_events

# Task type to inference id and path at the provider.
EXAMPLES: Final = {
    "text_embedding": ("hugging-face-embeddings", "/embed"),
    "rerank": ("hugging-face-rerank", "/rerank"),
    "completion": ("hugging-face-completion", "/v1/chat/completions"),
    "chat_completion": ("hugging-face-chat-completion", "/v1/chat/completions"),
}
TASK_SETTINGS: Final = {"rerank": {"return_documents": True, "top_n": 3}}

TEXTS: Final = ["hello world", "hi planet", "the stock market fell"]
QUERY: Final = "Which animal gives milk?"
DOCUMENTS: Final = [
    "The train leaves at noon.",
    "A cow gives milk.",
    "Paris is the capital of France.",
    "Goats and cows are milked every morning.",
]
PROMPT: Final = "Tell me about the history of Paris."  # of which a model makes many words
MESSAGES: Final = [{"role": "user", "content": PROMPT}]
MOST_TOKENS: Final = 100  # of an answer, so that it takes long enough to be seen to come in pieces


def example_body(task_type: str, provider: str) -> dict[str, Any]:
    """The body of the page's PUT for a task type."""
    url = provider + EXAMPLES[task_type][1]
    settings = {"api_key": "hugging-face-access-token", "url": url}
    body: dict[str, Any] = {"service": "hugging_face", "service_settings": settings}
    if task_type in TASK_SETTINGS:
        body["task_settings"] = TASK_SETTINGS[task_type]
    return body


def assert_endpoint(
    endpoint: Any, task_type: str, provider: str, inference_id: str | None = None
) -> None:
    """Check what PUT and GET show of an example: settings with defaults, and no token.

    inference_id: the example's own if there is none.
    """
    own_id, path = EXAMPLES[task_type]
    assert endpoint["inference_id"] == (inference_id or own_id)
    assert endpoint["task_type"] == task_type
    assert endpoint["service"] == "hugging_face"
    settings: dict[str, Any] = {"url": provider + path, "rate_limit": {"requests_per_minute": 3000}}
    if task_type == "text_embedding":
        settings |= {"similarity": "cosine", "dimensions": 384}
    assert endpoint["service_settings"] == settings
    assert endpoint.get("task_settings") == TASK_SETTINGS.get(task_type)
    assert "hugging-face-access-token" not in str(endpoint)


def assert_embeddings(result: Any) -> None:
    """Check for one vector per text; similar texts are near, others far."""
    vectors = [item["embedding"] for item in result["text_embedding"]]
    assert [len(vector) for vector in vectors] == [384] * len(TEXTS)
    hello, hi, market = vectors
    assert cosine(hello, hi) > 0.4
    assert cosine(hello, market) < 0.2


def assert_ranking(result: Any) -> None:
    """Check for the three best documents with their texts, those about milk first."""
    ranking = result["rerank"]
    assert {entry["index"] for entry in ranking[:2]} == {1, 3}
    assert [entry["text"] for entry in ranking] == [DOCUMENTS[e["index"]] for e in ranking]
    scores = [entry["relevance_score"] for entry in ranking]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def assert_completion(result: Any) -> None:
    """Check for a text."""
    (completion,) = result["completion"]
    assert completion["result"].strip()


def assert_completion_stream(text: str) -> None:
    """Check for deltas, then `[DONE]`."""
    events = _message_events(text)
    deltas = [item["delta"] for event in events for item in event.json["completion"]]
    assert len(deltas) > 1, "the model's words must come as they are made"
    assert "".join(deltas).strip()


def assert_chat_stream(text: str) -> None:
    """Check for OpenAI chunks with role, text, finish reason and usage, then `[DONE]`."""
    chunks = [event.json for event in _message_events(text)]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    words = [c["delta"]["content"] for c in choices if "content" in c["delta"]]
    assert len(words) > 1, "the model's words must come as they are made"
    assert "".join(words).strip()
    assert any(c["delta"].get("role") == "assistant" for c in choices)
    assert [c["finish_reason"] for c in choices if "finish_reason" in c]
    usage = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    assert usage
    assert usage[-1]["total_tokens"] > usage[-1]["completion_tokens"] > 0
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def _message_events(text: str) -> list[Event]:
    events, problems = parse_events(text)
    assert not problems
    assert events[-1].data == "[DONE]"
    assert {event.event for event in events} == {"message"}
    return events[:-1]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def lines(*documents: Any) -> bytes:
    """NDJSON, as _bulk takes it."""
    return b"".join(orjson.dumps(document) + b"\n" for document in documents)
