"""Errors in streams, in the shapes in which servers have sent them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import ChatError, StatusError
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.streamerrors import (
    Reported,
    broken_off,
    ended_with,
    is_cut_off,
    no_stream,
    report_of,
    reported_at_end,
    reported_by,
    reported_in,
)
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from tests.support.samples import make_endpoint


def endpoint(task: TaskType = TaskType.COMPLETION) -> InferenceEndpoint:
    return make_endpoint(task, inference_id="e", token="hf_secret")


@pytest.mark.parametrize(
    ("value", "event", "reported"),
    [
        ({"choices": []}, "message", None),
        ({"choices": [], "error": None}, "message", None),
        ({"error": "no"}, "message", Reported("no", None)),
        ({"error": ["a", {"b": 1}]}, "message", Reported('a; {"b": 1}', None)),
        (
            {"error": {"message": "no", "http_status_code": 429}},
            "message",
            Reported("no", "429", 429),
        ),
        ({"error": {"message": "no", "code": 429}}, "message", Reported("no", None, 429)),
        ({"error": {"message": "no", "code": "429"}}, "message", Reported("no", None)),
        ({"error": {"message": "no", "code": 1002}}, "message", Reported("no", None)),
        (
            {"object": "error", "message": "no", "code": 400},
            "message",
            Reported("no", None, 400),
        ),
        ({"error": {"http_status_code": True}}, "message", Reported("unknown", None)),
        ({"message": "no"}, "error", Reported("no", None)),
        ({"object": "error", "message": "no"}, "message", Reported("no", None)),
        ({"message": "no"}, "message", None),
    ],
)
def test_errors_in_events(value: Any, event: str, reported: Reported | None):
    assert reported_in(value, event) == reported


@pytest.mark.parametrize(
    ("event", "data", "reported"),
    [
        ("error", " plain text ", Reported("plain text", None)),
        ("error", '"a text"', Reported("a text", None)),
        ("error", "[1]", Reported("[1]", None)),
        ("error", '{"message":"no"}', None),
        ("message", "plain text", None),
    ],
)
def test_events_of_errors_need_not_be_objects(event: str, data: str, reported: Reported | None):
    assert reported_by(ServerSentEvent(data, event)) == reported


@pytest.mark.parametrize(
    ("text", "event", "reported"),
    [
        ('{"error":"no"}', "message", Reported("no", None)),
        ('{"message":"no"}', "error", Reported("no", None)),
        ('{"message":"no"}', "message", None),
        ("plain text", "error", Reported("plain text", None)),
        ('{"error":{"mess', "error", Reported('{"error":{"mess', None)),
        ("plain text", "message", None),
        ("[]", "message", None),
        ("<html>", "message", None),
        ("", "error", None),
    ],
)
def test_errors_with_which_streams_end(text: str, event: str, reported: Reported | None):
    assert reported_at_end(text, event) == reported


@pytest.mark.parametrize(
    ("task", "kind"), [(TaskType.COMPLETION, StatusError), (TaskType.CHAT_COMPLETION, ChatError)]
)
def test_the_providers_text_is_passed_on_without_the_token(task: TaskType, kind: type):
    error = report_of(endpoint(task), Reported("no hf_secret here", "429"))
    assert isinstance(error, kind)
    assert error.status == 400
    assert "inference entity id [e]. Error message: [no " in error.reason
    assert "hf_secret" not in error.reason


@pytest.mark.parametrize(
    ("content_type", "text", "shown"),
    [
        ("text/html", "<html>\n  hi", "received [text/html]: <html> hi"),
        ("", "hi", "received [no content type]: hi"),
        ("text/html", "", "received an empty answer"),
    ],
)
def test_an_answer_without_events(content_type: str, text: str, shown: str):
    cause = no_stream(endpoint(), content_type, text).render()["caused_by"]
    assert shown in cause["reason"]


def test_what_a_stream_ends_with_is_shown_in_part():
    cause = ended_with(endpoint(), "x\n" * 1000 + "hf_secret").render()["caused_by"]
    assert cause["reason"].startswith("The event stream ended with: x x")
    assert len(cause["reason"]) < 300


@pytest.mark.parametrize(
    ("data", "cut"), [('{"a":', True), ('{"a":1}', False), ("[DONE]", False), ("", False)]
)
def test_an_event_that_breaks_off(data: str, cut: bool):
    assert is_cut_off(data) is cut
    assert "closed unexpectedly" in broken_off(endpoint()).render()["caused_by"]["reason"]
