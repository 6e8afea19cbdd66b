from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import (
    Cause,
    CountMismatch,
    ParsingFailed,
    ProxyError,
    StatusError,
    XContentParseFailed,
)
from proxy.huggingface.calls import Refusal
from proxy.huggingface.chatreplies import parse_chat_event
from proxy.huggingface.failures import failed_to_send, failure, is_batch_too_large
from proxy.huggingface.replies import parse_completion_event, parse_embeddings, parse_rerank
from proxy.inference.endpoints import TaskType
from proxy.inference.releases import DEFAULT
from proxy.sse import ServerSentEvent
from tests.support.samples import ID, TASKS, TOKEN, json_values, make_endpoint, problem

EMBEDDING_TASKS = [TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING, TaskType.RERANK]


def failed(task: TaskType, status: int, body: bytes = b"", after: float | None = None):
    outcome = failure(make_endpoint(task), Refusal(status, body, after), DEFAULT)
    return outcome.error, outcome.may_pass


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
        outcome = failure(make_endpoint(), Refusal(503, b"", 7.0), DEFAULT)
        assert outcome.may_pass
        assert outcome.retry_after == 7.0

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
        assert is_batch_too_large(Refusal(status, json.dumps(body).encode())) is too_large

    def test_a_body_over_the_providers_limit_is_a_plain_text(self):
        assert is_batch_too_large(Refusal(413, b"length limit exceeded"))

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
        assert TOKEN not in shown(problem(lambda: parse_chat_event(event, endpoint, DEFAULT)))

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
