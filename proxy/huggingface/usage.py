"""What calls to providers use: tokens, as far as the provider counts them, characters, time.

Source: ResponseMetadata of text-embeddings-inference, `usage` of OpenAI's chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.ground.sse import ServerSentEvent
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.trial import is_trial
from proxy.telemetry.endpoints import Endpoints, Tokens, Usage
from proxy.xcontent.values import Json

_TOKENS: Final = "x-compute-tokens"
_MILLISECONDS: Final = 0.001
_NONE: Final = Tokens(0)
_MARK: Final = '"total_tokens"'  # of a reply that tells them
_MOST: Final = 1 << 40  # a larger number is none


def usage_of(endpoints: Endpoints, endpoint: InferenceEndpoint) -> Usage:
    """Where to add what a call of the endpoint takes."""
    if is_trial.get():
        return endpoints.rest_of(endpoint.task_type)
    return endpoints.of(endpoint.inference_id, endpoint.task_type).usage


def add_call(usage: Usage, body: Json, seconds: float) -> None:
    """Count one more call, with a body of embeddings, reranks or chats."""
    usage.calls += 1
    usage.provider_seconds += seconds
    usage.characters += _characters(body)


def add_compute(usage: Usage, headers: Mapping[str, str]) -> Tokens:
    """The tokens of which an answer's headers tell; add the times that they tell."""
    if (tokens := headers.get(_TOKENS)) is None:
        return _NONE
    usage.provider_queue_seconds += _number(headers.get("x-queue-time")) * _MILLISECONDS
    usage.compute_seconds += _number(headers.get("x-inference-time")) * _MILLISECONDS
    return Tokens(_number(tokens))


def tokens_of(data: bytes) -> Tokens:
    """The tokens of which a chat's reply, or an event of a stream, tells."""
    if _MARK.encode() not in data:
        return _NONE
    try:
        used = orjson.loads(data)["usage"]
        return Tokens(_count(used["prompt_tokens"]), _count(used["completion_tokens"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _NONE


class TokenCount:
    """Counts the tokens of a stream as they are told: each time, all of the stream so far."""

    def __init__(self, endpoints: Endpoints, endpoint: InferenceEndpoint) -> None:
        self._endpoints = endpoints
        self._inference_id = endpoint.inference_id
        self._usage = usage_of(endpoints, endpoint)
        self._told = _NONE

    def note(self, event: ServerSentEvent) -> None:
        """Look at the next event: one tells of them as a rule, each one from some servers."""
        if _MARK not in event.data:
            return
        now, told = tokens_of(event.data.encode(errors="replace")), self._told
        more = Tokens(max(0, now.input - told.input), max(0, now.output - told.output))
        self._endpoints.count_tokens(self._inference_id, self._usage, more)
        self._told = Tokens(told.input + more.input, told.output + more.output)


def _characters(body: Json) -> int:
    size = len(body.get("query", ""))
    for texts in (body.get("inputs"), body.get("texts")):
        if texts is not None:
            return size + sum(map(len, texts))
    return sum(_content(message.get("content")) for message in body.get("messages", ()))


def _content(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    parts = content if isinstance(content, list) else ()
    return sum(len(part.get("text") or "") for part in parts)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 13 else 0


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < _MOST else 0
