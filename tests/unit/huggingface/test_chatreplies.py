from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.ground.errors import ChatError
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.chatreplies import convert_chunk, parse_chat, parse_chat_event
from proxy.inference.endpoints import TaskType
from tests.contract.compare import without_extras
from tests.support.samples import (
    ID,
    NO_OBJECTS,
    json_objects,
    json_values,
    make_endpoint,
    problem,
    refusal_of,
)


def convert(chunk):
    return convert_chunk(chunk, json.dumps(chunk).encode())


CHUNK = {
    "id": "1",
    "object": "chat.completion.chunk",
    "created": 5,
    "model": "m",
    "system_fingerprint": "x",
    "choices": [
        {
            "index": 0,
            "logprobs": None,
            "finish_reason": None,
            "delta": {"role": "assistant", "content": "hi", "reasoning_content": "x"},
        }
    ],
}


class TestChunks:
    def test_known_keys_stay_in_elasticsearchs_order(self):
        assert json.dumps(convert(CHUNK)) == json.dumps(
            {
                "id": "1",
                "choices": [{"delta": {"content": "hi", "role": "assistant"}, "index": 0}],
                "model": "m",
                "object": "chat.completion.chunk",
            }
        )

    def test_tool_calls_keep_a_null_type(self):
        call = {"index": 0, "id": None, "function": {"name": "f", "arguments": ""}}
        choice = {"index": 1, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        (converted,) = convert({"id": "", "choices": [choice]})["choices"]
        assert json.dumps(converted) == json.dumps(
            {
                "delta": {
                    "tool_calls": [
                        {"index": 0, "function": {"arguments": "", "name": "f"}, "type": None}
                    ]
                },
                "finish_reason": "tool_calls",
                "index": 1,
            }
        )

    def test_usage_keeps_the_three_counts(self):
        usage = {"total_tokens": 3, "prompt_tokens": 1, "completion_tokens": 2, "other": {}}
        converted = convert({"id": "1", "choices": [], "usage": usage})
        assert converted["choices"] == []
        assert list(converted["usage"].items()) == [
            ("completion_tokens", 2),
            ("prompt_tokens", 1),
            ("total_tokens", 3),
        ]
        for choices in ([], [{"index": "0", "delta": {}}]):
            for none in ("null", "{}"):
                chunk = {"id": "1", "choices": choices, "usage": json.loads(none)}
                assert "usage" not in convert(chunk)

    @pytest.mark.parametrize("none", [None, []])
    def test_empty_collections_are_left_out_like_nulls(self, none):
        delta = {"content": "Hel", "tool_calls": none}
        (choice,) = convert({"id": "1", "choices": [{"index": 0, "delta": delta}]})["choices"]
        assert choice == {"delta": {"content": "Hel"}, "index": 0}

    @pytest.mark.parametrize(
        ("choices", "calls"),
        [
            ({"index": 0, "delta": {"tool_calls": {"index": 0}}}, 1),
            ([{"index": "0", "delta": {"tool_calls": [{"index": "0"}]}}], 1),
            ([{"index": 0.0, "delta": {"tool_calls": [{"index": 0.9}]}}], 1),
            ([{"index": "0", "delta": {"tool_calls": []}}], 0),
            ([{"index": "0", "delta": {"tool_calls": None}}], 0),
        ],
    )
    def test_values_are_coerced_as_elasticsearch_does(self, choices, calls):
        converted = convert({**CHUNK, "choices": choices})
        delta = {"tool_calls": [{"index": 0, "type": None}]} if calls else {}
        assert converted["choices"] == [{"delta": delta, "index": 0}]

    def test_coerced_values_keep_what_stands_beside_them(self):
        function = {"name": "f", "arguments": "{}"}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        delta = {"role": "assistant", "content": None, "tool_calls": call}
        chunk = {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        assert json.dumps(convert(chunk)) == json.dumps(
            {
                "id": "1",
                "choices": [
                    {
                        "delta": {
                            "role": "assistant",
                            "tool_calls": [
                                {
                                    "index": 0,
                                    "id": "call_1",
                                    "function": {"arguments": "{}", "name": "f"},
                                    "type": "function",
                                }
                            ],
                        },
                        "index": 0,
                    }
                ],
                "model": "m",
                "object": "chat.completion.chunk",
            }
        )

    @pytest.mark.parametrize("number", [3, 3.0, 3.9, "3", "3.0", " 3 "])
    def test_counts_are_coerced(self, number):
        usage = dict.fromkeys(("completion_tokens", "prompt_tokens", "total_tokens"), number)
        converted = convert({"id": "1", "choices": [], "usage": usage})
        assert converted["usage"] == dict.fromkeys(usage, 3)

    @pytest.mark.parametrize("number", [2**31, 1e10, "99999999999", "x", "", True, None, [3]])
    def test_what_is_no_32_bit_integer_is_refused(self, number):
        usage = dict.fromkeys(("completion_tokens", "prompt_tokens", "total_tokens"), number)
        assert refusal_of(lambda: convert({"id": "1", "choices": [], "usage": usage}))

    def test_a_reply_in_one_piece_has_the_same_rules(self):
        calls = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        reply = {
            "id": "1",
            "choices": {"index": "0", "message": {"content": "x", "tool_calls": calls}},
        }
        (choice,) = parse_chat(json.dumps(reply).encode())["choices"]
        assert choice["index"] == 0
        assert choice["message"]["tool_calls"][0]["index"] == 0
        reply["choices"] = {"index": 0, "message": {"content": "x", "tool_calls": []}}
        (choice,) = parse_chat(json.dumps(reply).encode())["choices"]
        assert choice == {"message": {"content": "x"}, "index": 0}

    @pytest.mark.parametrize(
        ("chunk", "missing"),
        [
            ({}, "id, choices, model, object"),
            ({"id": "1"}, "choices, model, object"),
            ({"choices": [], "model": "m"}, "id, object"),
        ],
    )
    def test_a_chunk_without_the_required_keys_is_none(self, chunk, missing):
        error = refusal_of(lambda: convert(chunk))
        assert error is not None
        assert error.envelope() == {
            "error": {
                "code": "bad_request",
                "message": f"Required [{missing}]",
                "type": "illegal_argument_exception",
            }
        }

    @pytest.mark.parametrize(
        "chunk",
        [
            {**CHUNK, "id": 5},
            {**CHUNK, "choices": None},
            {**CHUNK, "choices": [None]},
            {**CHUNK, "choices": [{}]},
            {**CHUNK, "choices": [{"delta": None, "index": 0}]},
            {**CHUNK, "choices": [{"delta": {}}]},
            {**CHUNK, "choices": [{"delta": {}, "index": "x"}]},
            {**CHUNK, "choices": [{"delta": {}, "index": 2**31}]},
            {**CHUNK, "choices": [{"delta": {}, "index": True}]},
            {**CHUNK, "choices": [{"delta": {"content": 1}, "index": 0}]},
            {**CHUNK, "choices": [{"delta": {"tool_calls": [{}]}, "index": 0}]},
            {**CHUNK, "choices": [{"delta": {"tool_calls": {}}, "index": 0}]},
            {**CHUNK, "usage": {"total_tokens": 1}},
            {**CHUNK, "usage": []},
        ],
    )
    def test_a_chunk_of_the_wrong_types_is_none(self, chunk):
        error = refusal_of(lambda: convert(chunk))
        assert isinstance(error, ChatError)
        assert (error.status, error.code, error.type) == (
            400,
            "bad_request",
            "x_content_parse_exception",
        )

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ('{"id":5,"choices":[]}', "[1:7] {} id doesn't support values of type: VALUE_NUMBER"),
            ('{"id":"","choices":5}', "[1:20] {} choices doesn't support values of type: VALUE_NU"),
            ('{"id":"","choices":[{}]}', "[1:22] {} failed to parse field [choices]"),
            ('{"id":"","choices":[{"index":0}]}', "[1:31] {} failed to parse field [choices]"),
            ('{"id":"","choices":[],"usage":{"a":1}}', "[1:37] {} failed to parse field [usage]"),
        ],
    )
    def test_says_where_it_is_wrong(self, source, reason):
        error = refusal_of(lambda: convert_chunk(json.loads(source), source.encode()))
        assert error is not None
        assert error.reason.startswith(reason.format("[chat_completion_chunk]"))

    @given(
        st.fixed_dictionaries(
            {"id": json_values, "choices": st.lists(json_objects, max_size=2) | json_values},
            optional={"usage": json_values, "model": json_values, "object": json_values},
        )
    )
    def test_any_chunk_is_converted_or_refused(self, chunk):
        error = refusal_of(lambda: convert(chunk))
        assert error is None or isinstance(error, ChatError)


def read_event(data: str):
    endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
    return parse_chat_event(ServerSentEvent(data), endpoint)


class TestEvents:
    @pytest.mark.parametrize("data", NO_OBJECTS)
    def test_events_that_are_no_objects_are_errors(self, data):
        problem(lambda: read_event(data))

    @given(json_values)
    @example({"choices": "x"})
    @example({"choices": [{"delta": [1]}]})
    def test_any_event_is_read_or_an_error(self, value):
        refusal_of(lambda: read_event(json.dumps(value)))

    @pytest.mark.parametrize(
        ("event", "data", "code", "message"),
        [
            ("message", {"error": {"message": "m", "http_status_code": 422}}, "422", "m"),
            ("error", {"error": {"message": "m", "code": 5}}, None, "m"),
            ("error", {"error": {}}, None, "unknown"),
            ("error", {}, None, "unknown"),
            ("error", {"error": "text"}, None, "text"),
            ("message", {"error": "text", "id": "1", "choices": []}, None, "text"),
            ("message", {"error": ["one", {"two": 2}]}, None, 'one; {"two": 2}'),
            ("error", {"code": 400, "message": "m", "type": "t"}, None, "m"),
            ("message", {"object": "error", "message": "m", "code": 400}, None, "m"),
        ],
    )
    def test_an_error_inside_a_chat_keeps_its_text_and_code(self, event, data, code, message):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        sent = ServerSentEvent(json.dumps(data), event)
        error = problem(lambda: parse_chat_event(sent, endpoint)).envelope()["error"]
        assert error.get("code") == code
        assert error["type"] == "hugging_face_error"
        assert error["message"] == (f"Received an error response {ID}. Error message: [{message}]")

    @pytest.mark.parametrize(
        ("data", "text"),
        [("out of memory ", "out of memory"), ('"out of memory"', "out of memory"), ("[1", "[1")],
    )
    def test_an_error_event_without_an_object_keeps_its_text(self, data, text):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        error = problem(lambda: parse_chat_event(ServerSentEvent(data, "error"), endpoint))
        assert without_extras(error.envelope())["error"] == {
            "message": f"Received an error response {ID}. Error message: [{text}]",
            "type": "hugging_face_error",
        }

    @pytest.mark.parametrize("error", [None, "", {}])
    def test_an_error_that_is_empty_is_none(self, error):
        chunk = read_event(json.dumps({**CHUNK, "error": error}))
        assert chunk["choices"][0]["delta"]["content"] == "hi"

    @pytest.mark.parametrize(
        ("around", "content"),
        [
            ("{}", r"a\ud83d"),
            ("{}", r"\ude00b"),
            ("{}", r"\ud83d\ud83d\ude00"),
            ("/* c */ {} // c", "a"),
            ("\ufeff{}", "a"),
            ("{} and more", "a"),
        ],
    )
    def test_what_jackson_reads_is_read(self, around, content):
        choice = f'{{"index":0,"delta":{{"content":"{content}"}}}}'
        chunk = f'{{"id":"1","x":1e999,"choices":[{choice}]}}'
        found = read_event(around.replace("{}", chunk))["choices"][0]["delta"]["content"]
        assert found == json.loads(f'"{content}"')

    @pytest.mark.parametrize("content", ['"\t"', "NaN", r'"\x"', r'"\ud83"', "01", "'a'"])
    def test_what_jackson_refuses_is_refused(self, content):
        choice = f'{{"index":0,"delta":{{"content":{content}}}}}'
        problem(lambda: read_event(f'{{"id":"1","choices":[{choice}]}}'))
