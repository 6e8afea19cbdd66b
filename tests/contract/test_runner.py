"""The runner of the contract cases itself: it notices wrong answers."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, Final

import aiohttp
import orjson
import pytest

from tests.contract.api import Target, api_differences, run_api_case
from tests.contract.casefiles import fill_in
from tests.contract.compare import (
    differences,
    parse_events,
    path_differences,
    subset_differences,
    text_differences,
    without_extras,
)
from tests.contract.hf import build_reply, call_differences, error_differences, hf_differences
from tests.contract.test_cases import API, HF
from tests.support.rawhttp import Answer, send
from tests.support.stubs import Call, FaultyServer, Reply, contract_reply, event_reply, in_thread

STREAM: Final = 'event: message\ndata: {"a":1}\n\nevent: message\ndata: [DONE]\n\n'


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(status=status, headers=pairs, body=content)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 2),
        (1, True),
        (0, False),
        (1, "1"),
        (None, 0),
        (None, False),
        ("a", "b"),
        (0.1, 0.2),
        (0.1, 0.1000001),
        (-0.0, 0.0),
        (16777216, 16777217),
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}),
        ({}, []),
    ],
)
def test_a_difference_between_values_is_seen(expected, actual):
    assert differences(expected, actual)
    assert differences([expected], [actual])


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1),
        (3, 3.0),
        (0.1, 0.10000000149011612),
        (1e10, 10000000000),
        ({"a": 1, "b": None}, {"b": None, "a": 1}),
        (["x", True], ["x", True]),
    ],
)
def test_values_that_agree_as_float32_json_agree(expected, actual):
    assert not differences(expected, actual)


def test_a_subset_may_have_more_keys_but_no_other_values():
    assert not subset_differences({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3})
    assert subset_differences({"a": {"b": 1}}, {"a": {"b": 2}})
    assert subset_differences({"a": 1}, {"b": 1})
    assert subset_differences([{"a": 1}], [{"a": 1}, {"a": 1}])


def test_texts_may_print_numbers_differently_but_not_keys():
    assert not text_differences('{"a":1.0E-8,"b":1}', '{"a":1e-8,"b":1}')
    assert text_differences('{"a":1,"b":1}', '{"b":1,"a":1}')
    assert text_differences('{"a":1.0}', '{"a":2.0}')
    assert text_differences('{\n  "a" : 1\n}\n', '{"a":1}')
    assert text_differences("---\na: 1\n", "---\na: 2\n")
    assert text_differences("", "{}")


PARSER: Final = "[1:2] Unexpected character ('s')\n at [Source: \"{s\"; line: 1, column: 2]"


@pytest.mark.parametrize(
    ("text", "agrees"),
    [
        (PARSER, True),
        ("[1:2] Unexpected character", True),
        ("[1:2] something else altogether", True),
        ("[1:3] Unexpected character", False),
        ("Unexpected character", False),
        ("[1:2] Unexpected character\n at [line: 1, column: 3]", False),
    ],
)
def test_of_a_parser_text_the_position_counts(text, agrees):
    assert (not differences(PARSER, text)) is agrees


def test_other_texts_with_a_position_must_be_equal():
    expected = "[1:2] [cluster:internal/xpack/inference] unknown field [inputs]"
    assert differences(expected, "[1:2] [cluster:internal/xpack/inference] unknown field [input]")


def test_extra_keys_of_errors_are_set_aside():
    body = {"error": {"type": "x", "hint": "h", "caused_by": {"provider_status": 1, "a": 2}}}
    assert without_extras(body) == {"error": {"type": "x", "caused_by": {"a": 2}}}


@pytest.mark.parametrize(
    ("body", "path", "right", "wrong"),
    [
        ({"a": [{"b": 1}]}, "a.0.b", 1, 2),
        ([1], "", [1], [2]),
        ({"a": "x"}, "a", {"$type": "string"}, {"$type": "array"}),
        ({"a": [1, 2]}, "a", {"$len": 2}, {"$len": 3}),
        (
            {"a": [{"b": 1, "c": 2}]},
            "a",
            {"$contains_object": {"b": 1}},
            {"$contains_object": {"b": 2}},
        ),
        (
            [{"a": 1}, {"a": 2}, {"a": 3}],
            "",
            {"$ordered_subsequence": [{"a": 1}, {"a": 3}]},
            {"$ordered_subsequence": [{"a": 3}, {"a": 1}]},
        ),
    ],
)
def test_paths_and_operators_tell_right_from_wrong(body, path, right, wrong):
    assert not path_differences(body, path, right)
    assert path_differences(body, path, wrong)


def test_a_missing_path_is_a_difference():
    assert path_differences({"a": 1}, "a.b", 1)
    assert path_differences({"a": [1]}, "a.1", 1)


@pytest.mark.parametrize(
    ("got", "right", "wrong"),
    [
        (answer({}), {"status": 200}, {"status": 201}),
        (answer({}), {"status_any_of": [200, 429]}, {"status_any_of": [408, 429]}),
        (answer({}, Allow="GET"), {"headers": {"allow": "GET"}}, {"headers": {"allow": "PUT"}}),
        (answer({}), {"headers": {"allow": None}}, {"headers": {"allow": "GET"}}),
        (answer({}, Allow="GET"), {"headers": {}}, {"headers": {"allow": None}}),
        (answer({"a": 1}), {"body_equals": {"a": 1}}, {"body_equals": {"a": 2}}),
        (answer({"a": 1}), {"body_contains": {"a": 1}}, {"body_contains": {"a": 2}}),
        (answer(b"x"), {"body_text_equals": "x"}, {"body_text_equals": "y"}),
        (answer(b"xyz"), {"body_text_contains": ["y"]}, {"body_text_contains": ["y", "a"]}),
        (answer(b"x"), {"body_not_contains_text": ["y"]}, {"body_not_contains_text": ["x"]}),
        (answer(b"x"), {"body_bytes_prefix_hex": "78"}, {"body_bytes_prefix_hex": "79"}),
        (answer({"error": {"type": "t"}}), {"error_type": "t"}, {"error_type": "u"}),
        (answer({"error": {"reason": "r"}}), {"reason": "r"}, {"reason": "s"}),
        (answer({"error": {"reason": "r"}}), {"reason_any_of": ["q", "r"]}, {"reason_any_of": []}),
        (
            answer(STREAM.encode()),
            {"sse_last": {"event": "message", "data_text": "[DONE]"}},
            {"sse_last": {"event": "error", "data_text": "[DONE]"}},
        ),
        (
            answer(STREAM.encode()),
            {"sse_contains": [{"event": "message", "data": {"a": 1}}]},
            {"sse_contains": [{"event": "message", "data": {"a": 2}}]},
        ),
        (
            answer(STREAM.encode().removesuffix(b"event: message\ndata: [DONE]\n\n")),
            {"sse": [{"event": "message", "data": {"a": 1}}]},
            {"sse": [{"event": "message", "data": {"a": 2}}]},
        ),
        (
            answer(STREAM.encode()),
            {"sse_contains": []},
            {"sse": [{"event": "message", "data": {"a": 1}}]},
        ),
    ],
)
def test_every_kind_of_expectation_tells_right_from_wrong(got, right, wrong):
    status = {} if "status_any_of" in right | wrong else {"status": 200}
    assert not api_differences(status | right, got)
    if "reason_any_of" in wrong:
        wrong = {"reason_any_of": ["q"]}
    assert api_differences(status | wrong, got)


def test_an_expectation_that_the_runner_does_not_know_is_an_error():
    with pytest.raises(ValueError, match="body_equal"):
        api_differences({"status": 200, "body_equal": {}}, answer({}))


def test_gzip_answers_are_decoded_before_they_are_compared():
    got = answer(gzip.compress(b'{"a":1}'), content_encoding="gzip")
    assert not api_differences({"status": 200, "body_equals": {"a": 1}}, got)
    assert api_differences({"status": 200, "body_equals": {"a": 2}}, got)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffevent: message\ndata: 1\n\n",
        "event: message\ndata: 1\n",
        "data: 1\n\n",
        "event: message\n\n",
        "event: message\ndata: 1\n\n\n\n",
        "event: message\r\ndata: 1\r\n\r\n",
        "event: message\ndata: 1\ndata: 2\n\n",
    ],
)
def test_bad_framing_of_a_stream_is_seen(text):
    assert parse_events(text)[1]


def test_events_are_read_in_order():
    events, problems = parse_events(STREAM)
    assert not problems
    assert [(event.event, event.json) for event in events] == [
        ("message", {"a": 1}),
        ("message", "[DONE]"),
    ]


def test_variables_are_filled_in_everywhere():
    value = {"a": ["${X}/y", {"b": "${X}"}], "c": 1}
    assert fill_in(value, {"${X}": "z"}) == {"a": ["z/y", {"b": "z"}], "c": 1}


def call(body: Any, target: str = "/embed", at: float = 0.0, **headers: str) -> Call:
    pairs = {"Content-Type": "application/json", "Authorization": "Bearer secret", **headers}
    return Call(method="POST", target=target, headers=pairs, body=orjson.dumps(body), at=at)


def test_wrong_calls_to_the_provider_are_seen():
    case = HF["hf-emb-001"]
    good = call({"inputs": ["hello"]})
    assert not call_differences(case, [good])
    assert call_differences(case, [])
    assert call_differences(case, [good, good])
    assert call_differences(case, [call({"inputs": "hello"})])
    assert call_differences(case, [call({"inputs": ["hello"], "truncate": True})])
    assert call_differences(case, [call({"inputs": ["hello"]}, target="/embed?x=1")])
    assert call_differences(case, [call({"inputs": ["hello"]}, Authorization="Bearer other")])


def test_the_bodies_of_later_calls_are_compared():
    case = HF["hf-emb-007"]
    first, second = (call(body) for body in case["expected_hf_requests"])
    assert not call_differences(case, [first, second])
    assert call_differences(case, [first, first])


def test_calls_that_come_too_soon_are_seen():
    case = HF["hf-emb-025"]
    body = {"inputs": ["a"]}
    assert not call_differences(case, [call(body, at=0), call(body, at=1), call(body, at=2)])
    assert call_differences(case, [call(body, at=0), call(body, at=1), call(body, at=1.1)])


def test_prefixes_and_choices_of_errors_are_judged():
    actual = {"type": "t", "reason": "Failed. Cause: x", "caused_by": {"reason": "inner"}}
    assert not error_differences({"type": "t", "reason_prefix": "Failed. Cause: "}, actual, "")
    assert not error_differences({"caused_by": {"reason_prefix": "in"}}, actual, "")
    assert not error_differences({"reason_any": ["Failed. Cause: x", "y"]}, actual, "")
    assert error_differences({"reason_prefix": "Failed. Cause: y"}, actual, "")
    assert error_differences({"caused_by": {"reason_prefix": "out"}}, actual, "")
    assert error_differences({"reason_any": ["y"]}, actual, "")
    assert error_differences({"caused_by": {"reason": "inner"}}, {"type": "t"}, "")
    assert error_differences({"type": "t"}, None, "")


def test_deltas_may_be_cut_differently_but_must_add_up():
    expected = HF["hf-cmp-014"]["expected_es_response"]

    def stream(*deltas: str, end: str = "event: message\ndata: [DONE]\n\n") -> Answer:
        events = (f'event: message\ndata: {{"completion":[{{"delta":"{d}"}}]}}\n\n' for d in deltas)
        return answer(("".join(events) + end).encode())

    assert not hf_differences(expected, stream("hello, ", "world"))
    assert not hf_differences(expected, stream("hel", "lo, world"))
    assert hf_differences(expected, stream("hello, "))
    assert hf_differences(expected, stream("hello, ", "world", end=""))


def test_a_chunk_with_a_key_that_should_be_dropped_is_seen():
    expected = HF["hf-cht-002"]["expected_es_response"]
    chunk = expected["sse"][0]["data"]
    done = "event: message\ndata: [DONE]\n\n"

    def stream(data: Any) -> Answer:
        return answer(f"event: message\ndata: {orjson.dumps(data).decode()}\n\n{done}".encode())

    assert not hf_differences(expected, stream(chunk))
    assert hf_differences(expected, stream({**chunk, "created": 1}))


def test_the_message_of_a_parser_is_judged_by_its_position():
    expected = HF["hf-cht-009"]["expected_es_response"]

    def stream(message: str) -> Answer:
        error = {"code": "bad_request", "message": message, "type": "x_content_parse_exception"}
        data = orjson.dumps({"error": error}).decode()
        return answer(f"event: error\ndata: {data}\n\n".encode())

    assert not hf_differences(expected, stream("[1:3] Unexpected character ('i')"))
    assert not hf_differences(expected, stream("[1:3] no JSON"))
    assert hf_differences(expected, stream("[1:4] Unexpected character ('i')"))


@pytest.mark.parametrize("case", [case for case in API.values() if "body_equals" in case["expect"]])
def test_every_whole_body_is_compared(case):
    """The expected body passes; one with another status or one more key does not."""
    expect = {"status": 1, "body_equals": case["expect"]["body_equals"]}
    body = expect["body_equals"]
    assert not api_differences(expect, answer(body, status=1))
    assert api_differences(expect, answer(body | {"more": 1}, status=1))
    assert api_differences(expect, answer(body, status=2))


def test_a_case_fails_on_a_server_that_answers_something_else():
    """A complete run of a case, against a server that is not the proxy."""
    case = API["get-missing"]
    right = Reply(status=404, body=orjson.dumps(case["expect"]["body_equals"]))
    wrong = Reply(status=404, body=b'{"error":"no handler found"}')
    with in_thread(FaultyServer([right])) as server:
        assert not run_api_case(case, Target(url=server.url))
    with in_thread(FaultyServer([wrong])) as server:
        assert run_api_case(case, Target(url=server.url))


def test_a_setup_that_fails_fails_the_case():
    with in_thread(FaultyServer([Reply(status=400, body=b"no")])) as server:
        found = run_api_case(API["put-duplicate-id"], Target(url=server.url))
    assert "setup" in found[0]


def test_requests_go_out_as_the_case_says():
    seen = FaultyServer([Reply()])
    with in_thread(seen) as server:
        headers = [("X-Opaque-Id", "a"), ("X-Opaque-Id", "b"), ("Accept", "")]
        send(server.url, "PUT", "/_inference/%zz?a=%2F", headers, b"{bad")
        send(server.url, "POST", "/x", body=[b"one", b"two"])
    first, second = seen.calls
    assert (first.method, first.target, first.body) == ("PUT", "/_inference/%zz?a=%2F", b"{bad")
    assert set(first.headers) == {"Host", "X-Opaque-Id", "Accept", "Content-Length"}
    assert first.headers["Accept"] == ""
    assert second.body == b"onetwo"


async def test_the_stub_writes_chunks_one_by_one_and_cuts_where_told():
    whole = event_reply("data: 1\n\n", "data: 2\n\n")
    cut = event_reply("data: 1\n\n", fault="reset_after")
    async with (
        FaultyServer([whole, cut, Reply(fault="reset")]) as server,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(server.url) as response:
            chunks = [chunk async for chunk in response.content.iter_any()]
        assert chunks == [b"data: 1\n\n", b"data: 2\n\n"]
        async with session.post(server.url) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        with pytest.raises(aiohttp.ClientError):
            await session.post(server.url)


async def test_the_stub_can_be_silent():
    async with (
        FaultyServer([Reply(fault="hang")]) as server,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.post(server.url)
    assert len(server.calls) == 1


def test_the_provider_of_the_cases_answers_as_the_specification_says():
    def reply(path: str, body: Any) -> Any:
        return orjson.loads(contract_reply(call(body, target=path)).body)

    assert reply("/embed", {"inputs": ["a", "b"]}) == [[0.1, 0.2, 1]] * 2
    assert reply("/sparse", {"inputs": ["a"]}) == [{"tok_a": 0.5, "tok_b": 1}]
    assert reply("/rerank", {"texts": ["a", "b"], "query": "q"}) == [
        {"index": 1, "score": 0.9},
        {"index": 0, "score": 0.5},
    ]
    assert contract_reply(call({}, target="/fail/418")).status == 418
    assert contract_reply(call({"inputs": ["__sleep__"]})).fault == "hang"
    stream = contract_reply(call({"stream": True}, target="/v1/chat/completions"))
    assert stream.chunks is not None
    assert len(stream.chunks) == 4


def test_replies_of_cases_become_replies_of_the_stub():
    one = call({"inputs": ["a", "b"]})
    assert build_reply({"status": 200, "body_per_input": [1]}, one).body == b"[[1],[1]]"
    repeat = {"prefix": "[", "unit": "x", "count": 3, "suffix": "]"}
    assert build_reply({"status": 200, "body_repeat": repeat}, one).body == b"[xxx]"
    assert build_reply({"status": 200, "sse_chunks_b64": ["YQ=="]}, one).chunks == [b"a"]
    cut = build_reply({"status": 200, "sse_chunks": ["a"], "close": "reset"}, one)
    assert cut.fault == "reset_after"
    assert build_reply({"connection": "hang"}, one).fault == "hang"
    assert build_reply({"connection": "reset_before_headers"}, one).fault == "reset"
