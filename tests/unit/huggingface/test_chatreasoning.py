"""What reasoning models think, in the releases that tell it; and tools that are called in pieces.

The chunks are those of vLLM, llama.cpp and services behind the router.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given

from proxy.ground.errors import ChatError
from proxy.huggingface.chatreplies import convert_chunk, parse_chat
from tests.support.samples import json_values, problem

COUNTS = {"completion_tokens": 90, "prompt_tokens": 7, "total_tokens": 97}


def convert(delta: Any, *, reasons: bool = True, **more: Any) -> Any:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": delta}], **more}
    return convert_chunk(chunk, json.dumps(chunk).encode(), reasons=reasons)


def delta_of(delta: Any, **more: Any) -> Any:
    return convert(delta, **more)["choices"][0]["delta"]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"reasoning": "hm"}, {"reasoning": "hm"}),  # vLLM since 0.11.1, the router
        ({"reasoning_content": "hm"}, {"reasoning": "hm"}),  # DeepSeek, llama.cpp, older vLLM
        ({"reasoning": "a", "reasoning_content": "b"}, {"reasoning": "a"}),
        ({"reasoning": None, "reasoning_content": "b"}, {"reasoning": "b"}),
        ({"content": "x", "reasoning_content": None}, {"content": "x"}),
        ({"content": "x", "reasoning_content": ""}, {"content": "x"}),
        ({"content": "x", "reasoning_content": {"odd": 1}}, {"content": "x"}),
        ({"reasoning": ""}, {"reasoning": ""}),
    ],
)
def test_a_thought_has_one_name(sent, told):
    assert delta_of(sent) == told
    assert "reasoning" not in delta_of(sent, reasons=False)
    coerced = {**sent, "tool_calls": {"index": "0"}}  # by declared fields
    assert delta_of(coerced) == {**told, "tool_calls": [{"index": 0, "type": None}]}


def test_keys_are_in_elasticsearchs_order():
    detail = {"text": "hm", "type": "reasoning.text", "index": 0, "odd": 1}
    sent = {
        "reasoning_details": [detail],
        "tool_calls": [{"index": 0}],
        "reasoning": "hm",
        "role": "assistant",
        "content": "x",
    }
    assert list(delta_of(sent)) == [
        "content",
        "role",
        "reasoning",
        "tool_calls",
        "reasoning_details",
    ]
    (told,) = delta_of(sent)["reasoning_details"]
    assert list(told.items()) == [("type", "reasoning.text"), ("index", 0), ("text", "hm")]
    assert "reasoning_details" not in delta_of(sent, reasons=False)


@pytest.mark.parametrize(
    ("detail", "kept"),
    [
        ({"type": "reasoning.encrypted", "data": "x", "id": "1", "format": "f"}, True),
        ({"type": "reasoning.summary", "summary": "x"}, True),
        ({"type": "reasoning.text", "signature": "x"}, True),
        ({"type": "reasoning.text", "text": ""}, True),
        ({"type": "reasoning.text", "data": "x"}, False),
        ({"type": "reasoning.new", "text": "x"}, False),
        ({"type": None}, False),
        ({"type": ["x"]}, False),
        ({}, False),
    ],
)
def test_details_of_another_kind_are_left_out(detail, kept):
    delta = delta_of({"content": "x", "reasoning_details": [detail]})
    assert delta == ({"content": "x", "reasoning_details": [detail]} if kept else {"content": "x"})
    lone = delta_of({"content": "x", "reasoning_details": detail})  # as Elasticsearch takes lists
    assert lone == delta


def test_thoughts_of_the_wrong_type_are_refused_where_they_are_told():
    error = problem(lambda: convert({"reasoning": {}}))
    assert "[chat_completion_chunk] failed to parse field [choices]" in error.reason
    assert convert({"reasoning": {}}, reasons=False)


def test_details_of_counts_are_told():
    details = {
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64},
    }
    told = convert({}, usage={**details, **COUNTS})["usage"]
    assert list(told) == [*COUNTS, *details]
    assert told["prompt_tokens_details"] == {"cached_tokens": 3}
    assert told["completion_tokens_details"] == {"reasoning_tokens": 64}
    assert convert({}, usage={**details, **COUNTS}, reasons=False)["usage"] == COUNTS


@pytest.mark.parametrize(
    "details",
    [
        {"prompt_tokens_details": None},
        {"completion_tokens_details": {}},
        {"completion_tokens_details": {"reasoning_tokens": None}},
    ],
)
@pytest.mark.parametrize("number", [7, "7"])
def test_counts_without_details_stay_as_they_are(details, number):
    usage = {**COUNTS, "prompt_tokens": number, **details}
    assert convert({}, usage=usage)["usage"] == COUNTS


def test_a_reply_in_one_piece_tells_thoughts_too():
    message = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
    reply = {"id": "1", "choices": [{"index": 0, "message": message}]}
    data = json.dumps(reply).encode()
    (choice,) = parse_chat(data, reasons=True)["choices"]
    assert choice["message"]["reasoning"] == "2 and 2"
    (choice,) = parse_chat(data)["choices"]
    assert "reasoning" not in choice["message"]


@given(json_values, json_values, json_values)
def test_whatever_is_sent_is_told_or_refused(thought, other, details):
    delta = {"reasoning": thought, "reasoning_content": other, "reasoning_details": details}
    with contextlib.suppress(ChatError):
        json.dumps(convert(delta))


# Calls of tools, whose arguments come in pieces; several calls can be interleaved.


def test_pieces_of_calls_stay_apart():
    pieces = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"ci'}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 0, "function": {"arguments": 'ty":"Oslo"}'}},
        {"index": 1, "function": {"name": None, "arguments": "{}"}},
    ]
    arguments = {0: "", 1: ""}
    for piece in pieces:
        (call,) = delta_of({"content": None, "tool_calls": [piece]})["tool_calls"]
        arguments[call["index"]] += call["function"]["arguments"]
        assert call.get("id") == piece.get("id")
        assert call["type"] == piece.get("type")
    assert arguments == {0: '{"city":"Oslo"}', 1: "{}"}
