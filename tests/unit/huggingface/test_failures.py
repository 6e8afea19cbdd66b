from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import Cause, CountMismatch, ParsingFailed, StatusError
from proxy.huggingface.calls import Refusal
from proxy.huggingface.failures import (
    failed_to_send,
    failure,
    fitting_share,
    is_batch_too_large,
)
from proxy.inference.endpoints import TaskType
from tests.support.samples import ID, PROFILE, TASKS, at_most, json_values, make_endpoint

EMBEDDING_TASKS = [TaskType.TEXT_EMBEDDING, TaskType.SPARSE_EMBEDDING, TaskType.RERANK]


def failed(task: TaskType, status: int, body: bytes = b"", after: float | None = None):
    outcome = failure(make_endpoint(task), Refusal(status, body, after), PROFILE)
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
            (304, 400, "Unhandled redirection", False),
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
    def test_what_a_status_means_to_embeddings_and_reranks(
        self, task, status, shown, prefix, retried
    ):
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
    def test_what_a_status_means_to_completions_and_chats(
        self, task, status, shown, prefix, retried
    ):
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
            (TaskType.TEXT_EMBEDDING, {"error": ""}, None),
            (TaskType.TEXT_EMBEDDING, {"error": None}, None),
            (TaskType.COMPLETION, {"error": ""}, None),
            (TaskType.COMPLETION, {"error": {"message": ""}}, None),
            (TaskType.CHAT_COMPLETION, {"error": ""}, None),
            (TaskType.CHAT_COMPLETION, {"error": {"message": ""}}, None),
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

    @pytest.mark.parametrize("task", TASKS)
    def test_a_text_cut_amid_a_character_is_kept(self, task):
        error, _ = failed(task, 403, rb'{"error":"no \ud83d"}')
        assert error.reason.endswith(". Error message: [no \ud83d]")

    @pytest.mark.parametrize(
        ("body", "code", "type"),
        [
            ({"error": "t"}, "forbidden", "hugging_face_error"),
            ({"error": ""}, "forbidden", "hugging_face_error"),
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
        outcome = failure(make_endpoint(), Refusal(503, b"", 7.0), PROFILE)
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


@pytest.mark.parametrize("start", [b"[", b'{"error":[', b"x"])
@pytest.mark.parametrize("piece", [b"0,", b"{},", b"[[", b"input (", b'"\\ud83d",'])
def test_no_refusal_takes_long(start, piece):
    refusal = Refusal(422, (start + piece * 32768)[:65536])
    with at_most(1):
        for _ in range(20):  # a fiftieth of a second each
            is_batch_too_large(refusal)
            fitting_share(refusal)
            failure(make_endpoint(), refusal, PROFILE)
