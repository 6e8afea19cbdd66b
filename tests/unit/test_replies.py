from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.endpoints import TaskType
from proxy.errors import Cause, ParsingFailed, ProxyError, StatusError, XContentParseFailed
from proxy.inference import RankedDocument, SparseVector
from proxy.replies import (
    CountMismatch,
    batch_is_too_large,
    failed_to_send,
    failure,
    parse_chat_event,
    parse_completion,
    parse_completion_event,
    parse_embeddings,
    parse_rerank,
    parse_sparse,
)
from proxy.retry import Retryable
from proxy.sse import ServerSentEvent
from tests.unit.samples import TOKEN, json_objects, json_values, make_endpoint, refusal_of

TASKS = [task for task in TaskType if task is not TaskType.ANY]
EMBEDDING_TASKS = [TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING, TaskType.RERANK]
ID = "for request from inference entity id [e1]"


def problem(call) -> ProxyError:
    error = refusal_of(call)
    assert error is not None
    return error


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("reply", "vectors"),
        [
            ("[[0.5,1],[-2,1e3]]", [[0.5, 1.0], [-2.0, 1000.0]]),
            ('{"embeddings":[[1]]}', [[1.0]]),
            ('{"model":"m","usage":{"a":[1]},"embeddings":[[1]],"x":2}', [[1.0]]),
            ("[]", []),
            ("[[]]", [[]]),
            ("[[1],[1,2]]", [[1.0], [1.0, 2.0]]),
            ("[[1]] and more", [[1.0]]),
            ("[[1]]]", [[1.0]]),
            ('{"embeddings":[[1]], x', [[1.0]]),
            ("[[3.4028234663852886e38]]", [[3.4028234663852886e38]]),
        ],
    )
    def test_both_shapes_are_read(self, reply, vectors):
        found = parse_embeddings(reply.encode())
        assert found == vectors
        assert all(type(number) is float for vector in found for number in vector)

    @pytest.mark.parametrize(
        ("reply", "reason", "col"),
        [
            ("[0.1]", "expecting token of type [START_ARRAY] but found [VALUE_NUMBER]", 2),
            ("[[0.1],null]", "expecting token of type [START_ARRAY] but found [VALUE_NULL]", 8),
            ("[[[0.1]]]", "expecting token of type [VALUE_NUMBER] but found [START_ARRAY]", 3),
            ('[["0.1"]]', "expecting token of type [VALUE_NUMBER] but found [VALUE_STRING]", 3),
            ("[[1, null]]", "expecting token of type [VALUE_NUMBER] but found [VALUE_NULL]", 6),
            ("[[true]]", "expecting token of type [VALUE_NUMBER] but found [VALUE_BOOLEAN]", 3),
            (
                '{"embeddings":{}}',
                "expecting token of type [START_ARRAY] but found [START_OBJECT]",
                15,
            ),
            ('"x"', "unexpected token [VALUE_STRING] found", 1),
            ("42", "unexpected token [VALUE_NUMBER] found", 1),
            ("null", "unexpected token [VALUE_NULL] found", 1),
        ],
    )
    def test_the_wrong_shape_is_told_with_its_place(self, reply, reason, col):
        error = problem(lambda: parse_embeddings(reply.encode()))
        assert isinstance(error, ParsingFailed)
        assert error.reason == f"Failed to parse object: {reason}"
        assert error.extra == {"line": 1, "col": col}

    @pytest.mark.parametrize("reply", ["{}", '{"error":"x"}', '{"data":[[1]]}'])
    def test_an_object_without_embeddings_lacks_a_field(self, reply):
        error = problem(lambda: parse_embeddings(reply.encode()))
        assert error.reason == (
            "Failed to find required field [embeddings] in Hugging Face embeddings response"
        )

    @pytest.mark.parametrize(
        "reply",
        [
            "[[NaN]]",
            "<html>",
            "[[1",
            '{"embeddings":[[1]',
            "",
            " ",
            "[[1e39]]",
            "[[-1e39]]",
            "[[1e999]]",
            "[[" + "9" * 60 + "]]",
            "[[1],",
            '{"a":1,"a":2}',
        ],
    )
    def test_what_cannot_be_read_is_an_error(self, reply):
        problem(lambda: parse_embeddings(reply.encode()))

    @given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))))
    def test_the_numbers_are_those_of_the_reply(self, vectors):
        assert parse_embeddings(json.dumps(vectors).encode()) == vectors
        assert parse_embeddings(json.dumps({"embeddings": vectors}).encode()) == vectors


class TestSparse:
    def test_tokens_keep_their_order_and_tell_what_was_cut(self):
        assert parse_sparse(b'[{"b":1,"a":0.5},{}]', [True, False]) == [
            SparseVector({"b": 1.0, "a": 0.5}, True),
            SparseVector({}, False),
        ]

    @pytest.mark.parametrize(
        "reply", ["{}", "[1]", "[[{}]]", '[{"a":"1"}]', '[{"a":null}]', '[{"a":1}', "[{},", "x"]
    )
    def test_the_wrong_shape_is_an_error(self, reply):
        problem(lambda: parse_sparse(reply.encode(), []))

    @pytest.mark.parametrize("weight", ["1e999", "1e39", "9" * 400, "-" + "9" * 400])
    def test_a_weight_no_float_can_hold_is_an_error(self, weight):
        problem(lambda: parse_sparse(f'[{{"a":{weight}}}]'.encode(), [False]))


class TestRerank:
    def test_documents_are_read_in_the_replys_order(self):
        reply = '[{"index":"1","score":"0.5","x":[]},{"score":1,"text":"t","index":0.9}]'
        assert parse_rerank(reply.encode(), 2) == [
            RankedDocument(1, 0.5),
            RankedDocument(0, 1.0, "t"),
        ]
        assert parse_rerank(b"[]", 2) == []

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            ('[{"index":0}]', "Required [score]"),
            ("[{}]", "Required [index, score]"),
            (
                '[{"index":0,"score":null}]',
                "[1:21] [hugging_face_rerank_response] score doesn't support values of type: "
                "VALUE_NULL",
            ),
            (
                '[{"text":null}]',
                "[1:10] [hugging_face_rerank_response] text doesn't support values of type: "
                "VALUE_NULL",
            ),
            (
                '{"results":[]}',
                "Failed to parse object: expecting token of type [START_ARRAY] but "
                "found [START_OBJECT]",
            ),
            (
                "[1]",
                "Failed to parse object: expecting token of type [START_OBJECT] but found "
                "[VALUE_NUMBER]",
            ),
        ],
    )
    def test_the_wrong_shape_is_told(self, reply, reason):
        assert problem(lambda: parse_rerank(reply.encode(), 1)).reason == reason

    @pytest.mark.parametrize("index", ["-1", "2", "99", "2147483648"])
    def test_an_index_outside_the_documents_is_an_error(self, index):
        problem(lambda: parse_rerank(f'[{{"index":{index},"score":1}}]'.encode(), 2))

    @pytest.mark.parametrize("score", ["NaN", '"NaN"', "1e999", '"x"', "true"])
    def test_a_score_must_be_a_number(self, score):
        problem(lambda: parse_rerank(f'[{{"index":0,"score":{score}}}]'.encode(), 1))


class TestCompletions:
    @pytest.mark.parametrize(
        ("reply", "results"),
        [
            ({"choices": [{"message": {"content": "a"}}, {"message": {"content": ""}}]}, ["a", ""]),
            ({"choices": {"message": {"content": "a", "role": "x"}, "y": 1}, "z": {}}, ["a"]),
            ({"choices": []}, []),
        ],
    )
    def test_each_choice_is_a_result(self, reply, results):
        assert parse_completion(json.dumps(reply).encode()) == results

    @pytest.mark.parametrize(
        "reply",
        [
            "{}",
            "[]",
            '{"choices":null}',
            '{"choices":[1]}',
            '{"choices":[{}]}',
            '{"choices":[{"message":{}}]}',
            '{"choices":[{"message":{"content":null}}]}',
            '{"choices":[{"message":{"content":["a"]}}]}',
            '{"choices":[',
            "x",
        ],
    )
    def test_the_wrong_shape_is_an_error(self, reply):
        problem(lambda: parse_completion(reply.encode()))


PARSERS = [
    parse_embeddings,
    lambda data: parse_sparse(data, []),
    lambda data: parse_rerank(data, 3),
    parse_completion,
]
ODD = [
    b"[" * 100_000,
    b'{"embeddings":' * 100_000,
    b"[[" + b"1," * 10_000 + b"1]]",
    b'[{"a":1,"a":2}]',
    b'"\xff\xfe"',
    b'["\xed\xa0\x80"]',
    rb'[{"\ud800":1}]',
    b"\x00\x00\x00",
    b"\xef\xbb\xbf[[1]]",
    "[[1]]".encode("utf-16"),
    b"[[-0.0, 0.0, 1e-400]]",
    b"Infinity",
    b"[[Infinity]]",
    b'{"choices":[{"message":{"content":"' + b"x" * 100_000,
]


class TestAnyReply:
    @pytest.mark.parametrize("parse", PARSERS)
    @pytest.mark.parametrize("data", ODD)
    def test_odd_replies_are_results_or_errors(self, parse, data):
        error = refusal_of(lambda: parse(data))
        if error is not None:
            orjson.dumps(failed_to_send(make_endpoint(), error).envelope())

    @given(st.binary(max_size=40), st.sampled_from(PARSERS))
    def test_any_bytes_are_a_result_or_an_error(self, data, parse):
        refusal_of(lambda: parse(data))

    @given(json_values, st.sampled_from(PARSERS))
    def test_any_json_is_a_result_or_an_error(self, value, parse):
        refusal_of(lambda: parse(json.dumps(value).encode()))

    @given(
        st.lists(st.fixed_dictionaries({"index": json_values, "score": json_values})),
        st.lists(json_objects),
        st.lists(st.fixed_dictionaries({"message": json_values})),
    )
    def test_anything_close_to_a_reply_is_a_result_or_an_error(self, ranked, sparse, choices):
        refusal_of(lambda: parse_rerank(json.dumps(ranked).encode(), 3))
        refusal_of(lambda: parse_sparse(json.dumps(sparse).encode(), []))
        refusal_of(lambda: parse_completion(json.dumps({"choices": choices}).encode()))


class TestStreams:
    @pytest.mark.parametrize(
        ("data", "deltas"),
        [
            ('{"choices":[{"delta":{"content":"a"}}]}', ["a"]),
            ('{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}', ["a", "b"]),
            ('{"choices":[{"delta":{"content":null}}]}', []),
            ('{"choices":[{"delta":{"content":""}}]}', []),
            ('{"choices":[{"delta":{}}]}', []),
            ('{"choices":[],"usage":{}}', []),
        ],
    )
    def test_deltas_are_the_contents_that_are_none_empty(self, data, deltas):
        assert parse_completion_event(ServerSentEvent(data)) == deltas

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ("{}", "choices"),
            ('{"choices":[{}]}', "delta"),
            ('{"choices":[1]}', "delta"),
            ('{"error":"x"}', "choices"),
        ],
    )
    def test_a_missing_field_is_named(self, data, field):
        error = problem(lambda: parse_completion_event(ServerSentEvent(data)))
        assert (error.status, error.type) == (500, "illegal_state_exception")
        assert error.reason == (
            f"Failed to find required field [{field}] in OpenAI chat completions response"
        )

    @pytest.mark.parametrize(
        ("data", "expected", "found", "col"),
        [
            ('{"choices":5}', "START_ARRAY", "VALUE_NUMBER", 12),
            ('{"choices":[{"delta":5}]}', "START_OBJECT", "VALUE_NUMBER", 22),
            ('{"choices":[{"delta":{"content":5}}]}', "VALUE_STRING", "VALUE_NUMBER", 33),
        ],
    )
    def test_a_wrong_token_is_named(self, data, expected, found, col):
        error = problem(lambda: parse_completion_event(ServerSentEvent(data)))
        assert error.envelope()["error"] | {"root_cause": None} == {
            "root_cause": None,
            "type": "parsing_exception",
            "reason": (
                f"Failed to parse object: expecting token of type [{expected}] but found [{found}]"
            ),
            "line": 1,
            "col": col,
        }

    @pytest.mark.parametrize("data", ["", "x", "[]", "1", "null", '{"a":', "NaN", "[" * 5000])
    @pytest.mark.parametrize(
        "parse",
        [parse_completion_event, lambda event: parse_chat_event(event, make_endpoint())],
    )
    def test_events_that_are_no_objects_are_errors(self, parse, data):
        problem(lambda: parse(ServerSentEvent(data)))

    @given(json_values)
    @example({"choices": "x"})
    @example({"choices": [{"delta": [1]}]})
    def test_any_event_is_read_or_an_error(self, value):
        event = ServerSentEvent(json.dumps(value))
        refusal_of(lambda: parse_completion_event(event))
        refusal_of(lambda: parse_chat_event(event, make_endpoint(TaskType.CHAT_COMPLETION)))

    @pytest.mark.parametrize(
        ("event", "data", "code", "message"),
        [
            ("message", {"error": {"message": "m", "http_status_code": 422}}, "422", "m"),
            ("error", {"error": {"message": "m", "code": 5}}, None, "m"),
            ("error", {"error": {}}, None, "unknown"),
            ("error", {}, None, "unknown"),
            ("error", {"error": "text"}, None, "text"),
            ("message", {"error": "text", "id": "1", "choices": []}, None, "text"),
        ],
    )
    def test_an_error_inside_a_chat_keeps_its_text_and_code(self, event, data, code, message):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        sent = ServerSentEvent(json.dumps(data), event)
        error = problem(lambda: parse_chat_event(sent, endpoint)).envelope()["error"]
        assert error.get("code") == code
        assert error["type"] == "hugging_face_error"
        assert error["message"] == (f"Received an error response {ID}. Error message: [{message}]")

    def test_an_error_event_that_cannot_be_read_says_so(self):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        error = problem(lambda: parse_chat_event(ServerSentEvent("x", "error"), endpoint))
        assert error.envelope()["error"] == {
            "code": "stream_error",
            "message": f"Received an error response {ID}",
            "type": "UnifiedChatCompletionErrorResponse",
        }


def failed(task: TaskType, status: int, body: bytes = b"", after: float | None = None):
    outcome = failure(make_endpoint(task), status, body, after)
    retried = isinstance(outcome, Retryable)
    error = outcome.error if isinstance(outcome, Retryable) else outcome
    assert isinstance(error, ProxyError)
    return error, retried


UNSUCCESSFUL = "Received an unsuccessful status code"
RATE = "Received a rate limit status code"
SERVER = "Received a server error status code"
AUTH = "Received an authentication error status code"
LARGE = "Received a content too large status code"


class TestFailures:
    @pytest.mark.parametrize("task", EMBEDDING_TASKS)
    @pytest.mark.parametrize(
        ("status", "shown", "prefix", "retried"),
        [
            (301, 301, "Unhandled redirection", False),
            (302, 302, "Unhandled redirection", False),
            (308, 400, "Unhandled redirection", False),
            (400, 400, UNSUCCESSFUL, False),
            (401, 401, AUTH, False),
            (402, 402, UNSUCCESSFUL, False),
            (403, 403, UNSUCCESSFUL, False),
            (404, 404, UNSUCCESSFUL, False),
            (413, 413, LARGE, True),
            (418, 400, UNSUCCESSFUL, False),
            (422, 422, UNSUCCESSFUL, False),
            (424, 424, UNSUCCESSFUL, False),
            (425, 400, UNSUCCESSFUL, False),
            (429, 429, RATE, True),
            (451, 400, UNSUCCESSFUL, False),
            (500, 400, SERVER, False),
            (502, 400, RATE, True),
            (503, 400, RATE, True),
            (504, 400, SERVER, False),
            (599, 400, SERVER, False),
        ],
    )
    def test_embeddings(self, task, status, shown, prefix, retried):
        error, again = failed(task, status)
        assert (error.status, error.type, again) == (shown, "status_exception", retried)
        assert error.reason == f"{prefix} {ID} status [{status}]"

    @pytest.mark.parametrize("task", [TaskType.COMPLETION, TaskType.CHAT_COMPLETION])
    @pytest.mark.parametrize(
        ("status", "shown", "prefix", "retried"),
        [
            (302, 302, "Unhandled redirection", False),
            (400, 400, "Received a bad request status code", False),
            (401, 401, AUTH, False),
            (403, 403, UNSUCCESSFUL, False),
            (404, 404, "Resource not found at [http://provider.test/]", False),
            (413, 413, LARGE, True),
            (422, 422, "Received an input validation error response", False),
            (429, 429, RATE, False),
            (500, 400, SERVER, True),
            (502, 400, SERVER, False),
            (503, 400, "Received a server busy error status code", True),
            (504, 400, SERVER, False),
        ],
    )
    def test_completions(self, task, status, shown, prefix, retried):
        error, again = failed(task, status)
        assert (error.status, again) == (shown, retried)
        assert error.reason == f"{prefix} {ID} status [{status}]"

    def test_a_prompt_that_is_too_long_is_too_large(self):
        text = "Please reduce your prompt; or completion length."
        body = json.dumps({"error": {"message": text}}).encode()
        error, again = failed(TaskType.COMPLETION, 400, body)
        assert again
        assert error.reason.startswith(LARGE)

    @pytest.mark.parametrize(
        ("task", "body", "text"),
        [
            (TaskType.TEXT_EMBEDDING, {"error": "t", "error_type": "Validation"}, "t"),
            (TaskType.TEXT_EMBEDDING, {"error": {"message": "t"}}, None),
            (TaskType.TEXT_EMBEDDING, {"error": ["t"]}, None),
            (TaskType.TEXT_EMBEDDING, ["t"], None),
            (TaskType.COMPLETION, {"error": {"message": "t"}}, "t"),
            (TaskType.COMPLETION, {"error": {"message": 5}}, None),
            (TaskType.CHAT_COMPLETION, {"error": {"message": "t"}}, "t"),
            (TaskType.CHAT_COMPLETION, {"error": "t"}, "t"),
        ],
    )
    def test_the_providers_text_is_kept(self, task, body, text):
        error, _ = failed(task, 403, json.dumps(body).encode())
        shown = f". Error message: [{text}]" if text else ""
        assert error.reason == f"{UNSUCCESSFUL} {ID} status [403]{shown}"

    @pytest.mark.parametrize(
        ("body", "code", "type"),
        [
            ({"error": "t"}, "forbidden", "hugging_face_error"),
            ({"error": {"message": "t", "http_status_code": 7}}, "7", "hugging_face_error"),
            ({"error": {"message": "t"}}, None, "hugging_face_error"),
            ({}, "forbidden", "UnifiedChatCompletionErrorResponse"),
            (None, "forbidden", "UnifiedChatCompletionErrorResponse"),
        ],
    )
    def test_chat_errors_have_code_and_type(self, body, code, type):
        error, _ = failed(TaskType.CHAT_COMPLETION, 403, json.dumps(body).encode())
        shown = error.envelope()["error"]
        assert (shown.get("code"), shown["type"]) == (code, type)

    def test_a_wait_that_the_provider_asks_for_is_kept(self):
        outcome = failure(make_endpoint(), 503, b"", 7.0)
        assert isinstance(outcome, Retryable)
        assert outcome.after == 7.0

    def test_a_long_text_is_cut(self):
        body = json.dumps({"error": "x" * 10_000}).encode()
        error, _ = failed(TaskType.TEXT_EMBEDDING, 400, body)
        assert len(error.reason) < 2200

    @given(
        st.sampled_from(TASKS),
        st.integers(300, 599),
        json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
    )
    def test_any_failure_has_an_answer(self, task, status, body):
        error, _ = failed(task, status, body)
        assert 300 <= error.status <= 429
        orjson.dumps(error.envelope())

    @pytest.mark.parametrize(
        ("status", "body", "too_large"),
        [
            (413, {"error": "batch size 33 > maximum allowed batch size 32"}, True),
            (422, {"error": "batch size 33 > maximum allowed batch size 32"}, True),
            (413, {"error": "Input validation error: must have less than 512 tokens"}, False),
            (422, {"error": "Input validation error"}, False),
            (413, None, True),
            (413, ["x"], True),
            (422, None, False),
            (400, {"error": "batch size"}, False),
        ],
    )
    def test_only_some_refusals_are_about_the_batch(self, status, body, too_large):
        assert batch_is_too_large(status, json.dumps(body).encode()) is too_large

    def test_a_body_over_the_providers_limit_is_a_plain_text(self):
        assert batch_is_too_large(413, b"length limit exceeded")

    def test_failures_below_http(self):
        error = failed_to_send(make_endpoint(), Cause("connect_exception", "Connection refused"))
        assert isinstance(error, StatusError)
        assert error.envelope()["error"]["caused_by"]["type"] == "connect_exception"
        assert (error.status, error.reason) == (
            500,
            "Failed to send Hugging Face text_embedding request from inference entity id [e1]. "
            "Cause: Connection refused",
        )
        wrong = ParsingFailed("x", 1, 2)
        assert failed_to_send(make_endpoint(), wrong) is wrong
        assert CountMismatch(1, 2).reason == (
            "Error the number of embedding responses [1] does not equal the number of requests [2]"
        )


def shown(error: ProxyError) -> str:
    return json.dumps(error.envelope(), ensure_ascii=False)


class TestTokensThatProvidersRepeat:
    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("status", [302, 400, 401, 413, 422, 429, 500, 503])
    def test_a_refusal_does_not_show_them(self, task, status):
        text = f"bad token {TOKEN}, {TOKEN}"
        for body in ({"error": text}, {"error": {"message": text}}, {"error": {TOKEN: text}}):
            error, _ = failed(task, status, json.dumps(body).encode())
            assert TOKEN not in shown(error)

    def test_a_token_at_the_cut_is_not_shown_in_part(self):
        body = json.dumps({"error": "x" * 1990 + TOKEN}).encode()
        error, _ = failed(TaskType.TEXT_EMBEDDING, 400, body)
        assert TOKEN[:8] not in shown(error)

    @pytest.mark.parametrize(
        "data", [{"error": {"message": f"bad token {TOKEN}"}}, {"error": TOKEN}]
    )
    def test_an_error_inside_a_stream_does_not_show_them(self, data):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        event = ServerSentEvent(json.dumps(data))
        assert TOKEN not in shown(problem(lambda: parse_chat_event(event, endpoint)))

    @pytest.mark.parametrize(
        ("parse", "reply"),
        [
            (parse_embeddings, TOKEN),
            (parse_embeddings, f'{{"{TOKEN}":1,"{TOKEN}":2}}'),
            (lambda data: parse_rerank(data, 1), f'[{{"index":0,"score":"{TOKEN}"}}]'),
            (lambda data: parse_rerank(data, 1), f'[{{"index":"{TOKEN}","score":0}}]'),
            (lambda data: parse_completion_event(ServerSentEvent(data.decode())), TOKEN),
        ],
    )
    def test_a_reply_that_cannot_be_read_does_not_show_them(self, parse, reply):
        error = problem(lambda: parse(reply.encode()))
        assert TOKEN not in shown(failed_to_send(make_endpoint(), error))

    def test_what_stands_around_is_not_quoted_either(self):
        error = problem(lambda: parse_embeddings(f'{{"a":"{TOKEN}", x'.encode()))
        assert isinstance(error, XContentParseFailed)
        assert TOKEN not in shown(error)
