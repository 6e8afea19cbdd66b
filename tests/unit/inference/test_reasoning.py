"""Requests that are about what a model thinks."""

from __future__ import annotations

import json

import pytest

from proxy.ground.errors import ProxyError
from proxy.inference.chat import parse_chat_request
from proxy.inference.reasoning import known_detail
from tests.support.bodies import read_body

USER = {"role": "user", "content": "x"}


def read(body, *, reasons=True):
    return parse_chat_request(read_body(json.dumps(body).encode()), reasons=reasons)


def told(body, **more):
    with pytest.raises(ProxyError) as caught:
        read(body, **more)
    return json.dumps(caught.value.envelope())


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ({"effort": "high"}, {"effort": "high"}),
        ({"enabled": True, "effort": " LOW "}, {"effort": "low", "enabled": True}),
        ({"enabled": "false", "effort": "none"}, {"effort": "none", "enabled": False}),
        (
            {"exclude": True, "summary": "Auto", "effort": "xhigh"},
            {"effort": "xhigh", "summary": "auto", "exclude": True},
        ),
        ({"enabled": True}, {"enabled": True}),
    ],
)
def test_what_is_asked_of_a_model_is_read(sent, read_as):
    reasoning = read({"messages": [USER], "reasoning": sent}).reasoning
    assert reasoning == read_as
    assert list(reasoning) == list(read_as)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({}, "Required one of fields [effort, enabled]"),
        ({"summary": "auto"}, "Required one of fields [effort, enabled]"),
        ({"effort": "extreme"}, "[effort] must be one of [xhigh, high, medium,"),
        ({"effort": "low", "summary": "x"}, "[summary] must be one of [auto, concise, detailed]"),
        ({"enabled": False}, "When [enabled] is false, [effort] must be specified."),
        ({"effort": "low", "x": 1}, "unknown field [x]"),
        ({"effort": 1}, "effort doesn't support values of type: VALUE_NUMBER"),
    ],
)
def test_what_is_wrong_with_it_is_told(sent, problem):
    text = told({"messages": [USER], "reasoning": sent})
    assert "[UnifiedCompletionRequest] failed to parse field [reasoning]" in text
    assert problem in text


def test_messages_may_hold_thoughts():
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s"},
        {"type": "reasoning.encrypted", "format": "f", "id": "i", "index": 3, "data": "d"},
        {"type": "reasoning.summary", "summary": "s"},
    ]
    message = {"role": "assistant", "reasoning": "hm", "reasoning_details": details}
    assert read({"messages": [message]}).messages == [message]


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"type": "reasoning.text"},
        {"type": "reasoning.text", "data": "x"},
        {"type": "reasoning.text", "text": "x", "data": "x"},
        {"type": "reasoning.new", "text": "x"},
        {"type": "reasoning.text", "text": "x", "index": "many"},
        "x",
    ],
)
def test_details_that_are_none_are_refused(detail):
    text = told({"messages": [{"role": "assistant", "reasoning_details": [detail]}]})
    assert "[UnifiedCompletionRequest] failed to parse field [messages]" in text


def test_older_releases_know_none_of_it():
    assert "unknown field [reasoning]" in told(
        {"messages": [USER], "reasoning": {"effort": "low"}}, reasons=False
    )
    message = {**USER, "reasoning": "x"}
    assert "unknown field [reasoning]" in told({"messages": [message]}, reasons=False)


def test_a_detail_with_a_value_of_another_type_loses_it():
    detail = {"type": "reasoning.text", "text": "x", "index": True, "id": 5}
    assert known_detail(detail) == {"type": "reasoning.text", "text": "x"}
