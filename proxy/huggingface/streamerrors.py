"""Streams that failed: an error where an event should stand, or an answer that is no stream.

Source: HuggingFaceChatCompletionResponseHandler, ErrorResponse. Elasticsearch itself takes an
answer without events for an empty one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import Cause, ChatError, ProxyError, StatusError
from proxy.ground.frames import forget_frames
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.failures import failed_to_send
from proxy.huggingface.hints import STREAM, advice_on_report, advice_on_shape, advice_on_state
from proxy.huggingface.redaction import shown_text
from proxy.huggingface.replyjson import load, load_error
from proxy.huggingface.states import State
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.xcontent.values import Json

RECEIVED: Final = "Received an error response for request from inference entity id [{}]"
_MAX_BEGINNING: Final = 200  # characters shown of an answer that is no stream


@dataclass(frozen=True, slots=True)
class Reported:
    """An error that a provider reports inside a stream."""

    text: str
    code: str | None  # as callers see it
    status: int = 500  # that it would have had as an answer


def reported_in(value: Json, event: str = "message") -> Reported | None:
    """The error that an object holds or, in an `event: error`, is."""
    error = value.get("error")
    if not error and "choices" in value:
        return None
    if isinstance(error, str):
        return Reported(error, None)
    if error and isinstance(error, list):  # of texts, as Hugging Face's own service has sent
        return Reported("; ".join(map(_text, error)), None)
    if not isinstance(error, dict):
        if event != "error" and value.get("object") != "error":
            return None
        error = value  # llama.cpp and vLLM have sent errors without a name around them
    message, code = error.get("message"), error.get("http_status_code")
    return Reported(
        message if isinstance(message, str) else "unknown",
        str(code) if type(code) is int else None,
        _status_in(error),
    )


def _status_in(error: Json) -> int:
    """The status that an error names, as TGI does, or vLLM, SGLang and llama.cpp."""
    for name in ("http_status_code", "code"):
        if type(code := error.get(name)) is int and 400 <= code < 600:
            return code
    return 500


def reported_by(event: ServerSentEvent) -> Reported | None:
    """The error that an `event: error` is whose data is no object; None for any other event."""
    if event.event != "error":
        return None
    try:
        value = load(event.data.encode())
    except ProxyError as error:
        forget_frames(error)
        value = event.data.strip()
    return None if isinstance(value, dict) else Reported(_text(value), None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def report_of(endpoint: InferenceEndpoint, reported: Reported) -> ProxyError:
    """The error that passes the provider's text on."""
    shown = shown_text(reported.text, endpoint)
    reason = f"{RECEIVED.format(endpoint.inference_id)}. Error message: [{shown}]"
    error: ProxyError = StatusError(400, reason)
    if endpoint.task_type is TaskType.CHAT_COMPLETION:
        error = ChatError(400, reported.code, reason, "hugging_face_error")
    return error.advised(advice_on_report(endpoint, reported.text, reported.status))


def no_stream(endpoint: InferenceEndpoint, content_type: str, text: str) -> ProxyError:
    """The error for an answer of status 200 without any event: `text` is what it holds instead."""
    came = "an empty answer"
    if text:
        kind = shown_text(content_type, endpoint, _MAX_BEGINNING) or "no content type"
        beginning = " ".join(shown_text(text, endpoint, _MAX_BEGINNING).split())
        came = f"[{kind}]: {beginning}"
    cause = Cause("illegal_state_exception", f"Expected an event stream but received {came}")
    advice = advice_on_shape(endpoint, text.encode(errors="replace"), STREAM)
    return failed_to_send(endpoint, cause).advised(advice)


def ended_with(endpoint: InferenceEndpoint, text: str) -> ProxyError:
    """The error for a stream whose last events are followed by a text that is none."""
    shown = " ".join(shown_text(text, endpoint, _MAX_BEGINNING).split())
    cause = Cause("illegal_state_exception", f"The event stream ended with: {shown}")
    return failed_to_send(endpoint, cause).advised(advice_on_state(endpoint, State.FAILED))


def is_cut_off(data: str) -> bool:
    """Whether data that a stream ends with is the beginning of an object."""
    return data.startswith("{") and load_error(data.encode(errors="replace")) is None


def broken_off(endpoint: InferenceEndpoint) -> ProxyError:
    """The error for a stream that ends amid an event, as if that were its end."""
    cause = Cause("connection_closed_exception", "Connection closed unexpectedly")
    return failed_to_send(endpoint, cause).advised(advice_on_state(endpoint, State.UNREACHABLE))


def reported_at_end(text: str, event: str) -> Reported | None:
    """The error with which a stream ends, as JSON that is no event, or in one that has not ended.

    `event` is the name of that.
    """
    value: Any = load_error(text.encode(errors="replace"))
    if isinstance(value, dict):
        return reported_in(value, event)
    return Reported(text, None) if text and event == "error" else None
