"""What calls use, as providers tell it and as it is measured."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.usage import TokenCount, add_call, add_compute, tokens_of
from proxy.inference.endpoints import TaskType
from proxy.telemetry.endpoints import Endpoints, Tokens, Usage
from tests.support.samples import json_values, make_endpoint


@pytest.mark.parametrize(
    ("body", "characters"),
    [
        ({"inputs": ["abc", "ü😀"]}, 5),
        ({"inputs": []}, 0),
        ({"texts": ["abc"], "query": "de"}, 5),
        ({"messages": [{"content": "abc"}, {"content": None}, {"role": "user"}]}, 3),
        ({"messages": [{"content": [{"type": "text", "text": "abc"}, {"type": "x"}]}]}, 3),
        ({"messages": [{"content": [{"type": "text", "text": None}]}]}, 0),
    ],
)
def test_characters_are_those_of_the_texts(body, characters):
    usage = Usage()
    add_call(usage, body, 0.5)
    assert usage == Usage(calls=1, provider_seconds=0.5, characters=characters)


@pytest.mark.parametrize(
    ("headers", "tokens", "seconds"),
    [
        ({}, 0, (0, 0)),
        ({"x-queue-time": "10"}, 0, (0, 0)),
        ({"x-compute-tokens": "12", "x-queue-time": "10", "x-inference-time": "7"}, 12, (10, 7)),
        ({"x-compute-tokens": "12"}, 12, (0, 0)),
        ({"x-compute-tokens": "-1", "x-queue-time": "x"}, 0, (0, 0)),
        ({"x-compute-tokens": "9" * 40}, 0, (0, 0)),
        ({"x-compute-tokens": "٣"}, 3, (0, 0)),
    ],
)
def test_what_text_embeddings_inference_tells(headers, tokens, seconds):
    usage = Usage()
    assert add_compute(usage, headers) == Tokens(tokens)
    told = (usage.provider_queue_seconds, usage.compute_seconds)
    assert told == pytest.approx((seconds[0] / 1000, seconds[1] / 1000))


def reply(**usage) -> bytes:
    return json.dumps({"choices": [], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (reply(prompt_tokens=3, completion_tokens=4, total_tokens=7), Tokens(3, 4)),
        (reply(prompt_tokens=3, completion_tokens=4), Tokens(0)),  # not as servers tell it
        (reply(prompt_tokens=-3, completion_tokens=True, total_tokens=7), Tokens(0)),
        (reply(prompt_tokens=1 << 60, completion_tokens=1, total_tokens=7), Tokens(0, 1)),
        (reply(total_tokens=7), Tokens(0)),
        (b'{"usage":null,"x":"\\"total_tokens\\""}', Tokens(0)),
        (b'["total_tokens"]', Tokens(0)),
        (b'{"total_tokens"', Tokens(0)),
        (b"", Tokens(0)),
    ],
)
def test_what_chats_tell(data, tokens):
    assert tokens_of(data) == tokens


@given(json_values)
def test_nothing_that_is_told_does_harm(value):
    tokens_of(json.dumps({"usage": value, "total_tokens": 1}).encode())
    add_call(Usage(), {"messages": [{"content": value if isinstance(value, str) else None}]}, 0)


def test_each_event_tells_the_sum_of_the_stream():
    endpoints, endpoint = Endpoints(), make_endpoint(TaskType.COMPLETION)
    count = TokenCount(endpoints, endpoint)
    for before, after in [(5, 1), (5, 2), (5, 9), (0, 0)]:
        data = reply(prompt_tokens=before, completion_tokens=after, total_tokens=before + after)
        count.note(ServerSentEvent(data.decode()))
    count.note(ServerSentEvent('\ud83d "total_tokens"'))
    usage = endpoints.of("e1", "completion").usage
    assert (usage.input_tokens, usage.output_tokens) == (5, 9)
