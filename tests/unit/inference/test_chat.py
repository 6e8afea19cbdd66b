from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import (
    ActionRequestInvalid,
    ChatError,
    EndpointNotFound,
    ProxyError,
    Unauthorized,
)
from proxy.inference.chat import (
    ChatRequest,
    as_streamed_chat_error,
    as_unstreamed_chat_error,
    only_streaming,
    parse_chat_request,
    status_name,
)
from tests.support.bodies import read_body
from tests.support.samples import json_objects, json_values, refusal_of

U = "[UnifiedCompletionRequest]"
HELLO = {"role": "user", "content": "hello"}


def read(body) -> ChatRequest:
    text = body if isinstance(body, str) else json.dumps(body)
    return parse_chat_request(read_body(text.encode()))


def refused(body) -> ProxyError:
    error = refusal_of(lambda: read(body))
    assert error is not None
    assert error.status == 400
    return error


class TestRequests:
    def test_reads_every_field(self):
        request = read(
            {
                "top_p": 1,
                "tools": [{"function": {"name": "f"}, "type": "function"}],
                "tool_choice": "auto",
                "temperature": "0.5",
                "stop": "end",
                "max_completion_tokens": 5.7,
                "model": "m",
                "messages": [HELLO],
            }
        )
        assert request == ChatRequest(
            messages=[HELLO],
            model="m",
            max_completion_tokens=5,
            stop=["end"],
            temperature=0.5,
            top_p=1.0,
            tool_choice="auto",
            tools=[
                {
                    "type": "function",
                    "function": {"description": None, "name": "f", "parameters": None},
                }
            ],
        )

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user"},
            {"role": "anything", "content": ""},
            {"role": "user", "content": []},
            {"role": "user", "content": [{"text": "a", "type": "text"}]},
            {"content": "x", "role": "tool", "tool_call_id": "1"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "1", "function": {"arguments": "{}", "name": "f"}, "type": "function"}
                ],
            },
        ],
    )
    def test_takes_every_kind_of_message(self, message):
        assert read({"messages": [message]}).messages == [message]

    def test_hands_keys_on_in_elasticsearchs_order(self):
        message = {
            "tool_calls": [{"type": "t", "function": {"name": "f", "arguments": "a"}, "id": "1"}],
            "tool_call_id": "2",
            "role": "r",
            "content": [{"type": "text", "text": "a"}],
        }
        tool = {
            "function": {"strict": True, "parameters": {"b": 1, "a": []}, "name": "f"},
            "type": "t",
        }
        request = read({"messages": [message], "tools": [tool]})
        assert json.dumps(request.messages[0]) == json.dumps(
            {
                "content": [{"text": "a", "type": "text"}],
                "role": "r",
                "tool_call_id": "2",
                "tool_calls": [
                    {"id": "1", "function": {"arguments": "a", "name": "f"}, "type": "t"}
                ],
            }
        )
        assert request.tools is not None
        assert json.dumps(request.tools[0]) == json.dumps(
            {
                "type": "t",
                "function": {
                    "description": None,
                    "name": "f",
                    "parameters": {"b": 1, "a": []},
                    "strict": True,
                },
            }
        )

    @pytest.mark.parametrize("choice", ["none", {"type": "function", "function": {"name": "f"}}])
    def test_takes_both_kinds_of_tool_choice(self, choice):
        assert read({"messages": [HELLO], "tool_choice": choice}).tool_choice == choice

    def test_messages_are_required_and_not_empty(self):
        assert (refused("{}").type, refused("{}").reason) == (
            "illegal_argument_exception",
            "Required [messages]",
        )
        error = refused('{"messages":[]}')
        assert isinstance(error, ActionRequestInvalid)
        assert error.reason == ("Validation Failed: 1: Field [messages] cannot be an empty array;")

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (
                '{"messages":"x"}',
                f"[1:13] {U} messages doesn't support values of type: VALUE_STRING",
            ),
            ('{"messages":{}}', f"[1:14] {U} failed to parse field [messages]"),
            (
                '{"messages":null}',
                f"[1:13] {U} messages doesn't support values of type: VALUE_NULL",
            ),
            ('{"stream":true}', f"[1:2] {U} unknown field [stream]"),
            ('{"messages":[{"role":"user"}],"foo":1}', f"[1:31] {U} unknown field [foo]"),
            ('{"messages":[{}]}', f"[1:15] {U} failed to parse field [messages]"),
            ('{"messages":[{"role":1}]}', f"[1:22] {U} failed to parse field [messages]"),
            (
                '{"messages":[{"role":"u","content":null}]}',
                f"[1:36] {U} failed to parse field [messages]",
            ),
            (
                '{"messages":[{"role":"u","name":"x"}]}',
                f"[1:33] {U} failed to parse field [messages]",
            ),
            (
                '{"messages":[{"role":"u","content":[{"type":"text"}]}]}',
                f"[1:51] {U} failed to parse field [messages]",
            ),
            ('{"messages":["x"]}', f"[1:17] {U} failed to parse field [messages]"),
            ('{"tools":[{"type":"function"}]}', f"[1:29] {U} failed to parse field [tools]"),
            ('{"tool_choice":{"type":"f"}}', f"[1:27] {U} failed to parse field [tool_choice]"),
            ('{"stop":["a",null]}', f"[1:14] {U} failed to parse field [stop]"),
            (
                '{"temperature":null}',
                f"[1:16] {U} temperature doesn't support values of type: VALUE_NULL",
            ),
        ],
    )
    def test_the_first_problem_wins_and_says_where(self, body, reason):
        assert refused(body).reason == reason

    def test_the_body_may_end_anywhere(self):
        whole = json.dumps(
            {
                "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
                "tools": [{"type": "f", "function": {"name": "f", "parameters": {"a": [1]}}}],
                "stop": ["x"],
            }
        )
        for cut in range(len(whole)):
            assert refused(whole[:cut]).status == 400

    @given(json_objects)
    def test_any_body_is_a_request_or_refused(self, body):
        error = refusal_of(lambda: read(body))
        assert error is None or error.status == 400

    @given(
        st.fixed_dictionaries(
            {"messages": st.lists(st.just(HELLO) | json_values, max_size=2)},
            optional={
                "stop": json_values,
                "tools": json_values,
                "tool_choice": json_values,
                "temperature": json_values,
                "max_completion_tokens": json_values,
            },
        )
    )
    def test_any_value_of_a_known_field_is_taken_or_refused(self, body):
        error = refusal_of(lambda: read(body))
        assert error is None or error.status == 400


class TestErrors:
    def test_chat_has_its_own_shape(self):
        error = as_streamed_chat_error(EndpointNotFound("x"))
        assert error.status == 404
        assert error.envelope() == {
            "error": {
                "code": "not_found",
                "message": "Inference endpoint not found [x]",
                "type": "resource_not_found_exception",
            }
        }

    @pytest.mark.parametrize("error", [ActionRequestInvalid(["x"]), Unauthorized("no")])
    def test_empty_messages_and_refused_callers_keep_the_usual_one(self, error):
        assert as_streamed_chat_error(error) is error
        assert as_unstreamed_chat_error(error) is error

    def test_an_error_without_a_code_has_no_such_key(self):
        assert ChatError(400, None, "m", "t").envelope() == {"error": {"message": "m", "type": "t"}}

    def test_chat_is_only_streamed(self):
        body = as_unstreamed_chat_error(only_streaming()).envelope()
        reason = (
            "The [chat_completion] task type only supports streaming, "
            "please try again with the _stream API"
        )
        inner = {"type": "status_exception", "reason": reason}
        assert body == {
            "error": {
                "root_cause": [inner],
                "type": "unified_chat_completion_exception",
                "reason": reason,
                "caused_by": inner,
            },
            "status": 400,
        }

    @pytest.mark.parametrize(
        ("status", "name"),
        [
            (302, "found"),
            (400, "bad_request"),
            (401, "unauthorized"),
            (405, "method_not_allowed"),
            (413, "request_entity_too_large"),
            (414, "request_uri_too_long"),
            (416, "requested_range_not_satisfied"),
            (422, "unprocessable_entity"),
            (429, "too_many_requests"),
            (500, "internal_server_error"),
            (503, "service_unavailable"),
        ],
    )
    def test_statuses_have_the_names_of_elasticsearch(self, status, name):
        assert status_name(status) == name

    def test_status_407_has_its_own_name(self):
        assert status_name(407) == "proxy_authentication"

    def test_every_status_that_is_passed_on_has_a_name(self):
        passed = [*range(300, 306), 307, *range(400, 418), 422, 423, 424, 429]
        for status in [*passed, 500, 502, 503, 504]:
            assert status_name(status)
            assert HTTPStatus(status)
