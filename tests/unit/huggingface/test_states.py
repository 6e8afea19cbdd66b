"""What providers really answer, and the state that it tells of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import Cause
from proxy.huggingface.calls import InvalidHost, NoReply, Refusal
from proxy.huggingface.states import Finding, State, find_state, is_hosted, state_of_report
from proxy.inference.endpoints import TaskType
from tests.support.samples import TASKS, at_most, json_values, make_endpoint

BESIDE = make_endpoint(url="http://tei:8080/embed")
HOSTED = make_endpoint(url="https://x1.us-east-1.aws.endpoints.huggingface.cloud")
ROUTER = make_endpoint(
    TaskType.CHAT_COMPLETION, url="https://router.huggingface.co/v1/chat/completions"
)
HTML = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"


def openai(message: str, kind: str | None = None, code: Any = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def missing(*names: str) -> Any:
    return {"detail": [{"type": "missing", "loc": ["body", name]} for name in names]}


def found(endpoint, status: int, body: Any, after: float | None = None) -> Finding:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return find_state(endpoint, Refusal(status, data, after))


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        # Inference Endpoints
        (
            400,
            {
                "error": "Bad Request: The endpoint is paused, ask a maintainer to restart it",
                "code": "BAD_REQUEST",
            },
            State.PAUSED,
        ),
        (400, {"error": "Bad Request: Invalid state"}, State.PAUSED),
        (
            503,
            {"error": "503 Service Unavailable", "code": "SERVICE_UNAVAILABLE"},
            State.WAKING_UP,
        ),
        (503, b"", State.WAKING_UP),
        (502, b"<html>502 Bad Gateway</html>", State.WAKING_UP),
        (401, {"error": "401 Unauthorized", "code": "UNAUTHORIZED"}, State.BAD_TOKEN),
        (403, {"error": "403 Forbidden"}, State.FORBIDDEN),
        (404, {"error": "404 Not Found", "code": "NOT_FOUND"}, State.WRONG_URL),
        # The router and the services behind it
        (401, {"error": "Invalid username or password."}, State.BAD_TOKEN),
        (
            403,
            {
                "error": "This authentication method does not have sufficient permissions to call "
                "Inference Providers on behalf of user somebody"
            },
            State.FORBIDDEN,
        ),
        (
            402,
            {
                "error": "You have depleted your monthly included credits. Purchase pre-paid "
                "credits to continue using Inference Providers."
            },
            State.OUT_OF_CREDIT,
        ),
        (402, b"", State.OUT_OF_CREDIT),
        (
            400,
            {"error": "Authorization header is correct, but the token seems invalid"},
            State.BAD_TOKEN,
        ),
        (
            429,
            openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
            State.OUT_OF_CREDIT,
        ),
        (
            400,
            openai(
                "The requested model 'x/y' is not supported by any provider you have enabled.",
                "invalid_request_error",
                "model_not_supported",
            ),
            State.WRONG_MODEL,
        ),
        (
            410,
            {"error": "https://api-inference.huggingface.co is no longer supported."},
            State.WRONG_URL,
        ),
        (
            503,
            {"error": "Model intfloat/e5 is currently loading", "estimated_time": 20.0},
            State.WAKING_UP,
        ),
        (
            500,
            {"error": "Model too busy, unable to get response in less than 60 second(s)"},
            State.OVERLOADED,
        ),
        (504, b"", State.TIMED_OUT),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, State.OVERLOADED),
        (429, openai("Rate limit reached"), State.RATE_LIMITED),
        (302, b"", State.WRONG_URL),
    ],
)
def test_hugging_face_itself(status, body, state):
    endpoint = HOSTED if status in (400, 502, 503) else ROUTER
    assert found(endpoint, status, body).state is state


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        # text-embeddings-inference
        (429, {"error": "Model is overloaded", "error_type": "Overloaded"}, State.OVERLOADED),
        (503, {"error": "unhealthy", "error_type": "Unhealthy"}, State.FAILED),
        (
            413,
            {
                "error": "batch size 33 > maximum allowed batch size 32",
                "error_type": "Validation",
            },
            State.BATCH_TOO_LARGE,
        ),
        (
            422,
            {"message": "batch size 33 > maximum allowed batch size 32", "code": 422},
            State.BATCH_TOO_LARGE,
        ),
        (413, b"Failed to buffer the request body: length limit exceeded", State.BATCH_TOO_LARGE),
        (
            422,
            {
                "error": "Input validation error: `inputs` must have less than 512 tokens. "
                "Given: 600",
                "error_type": "Validation",
            },
            State.INPUT_TOO_LONG,
        ),
        (
            424,
            {"error": "Backend error: CUDA_ERROR_OUT_OF_MEMORY out of memory"},
            State.OVERLOADED,
        ),
        (424, {"error": "model is not a re-ranker model"}, State.WRONG_MODEL),
        (
            424,
            {"error": "Backend error: `normalize` is not available for SPLADE models"},
            State.WRONG_MODEL,
        ),
        (
            422,
            b"Failed to deserialize the JSON body into the target type: "
            b"missing field `query` at line 1 column 16",
            State.WRONG_URL,
        ),
        (422, b"Failed to deserialize the JSON body: invalid type at line 1", State.REFUSED),
        (424, {"error": "score is NaN", "error_type": "Backend"}, State.FAILED),
        (424, b"", State.OVERLOADED),
        (401, b"", State.BAD_TOKEN),
        (415, b"Expected request with `Content-Type: application/json`", State.REFUSED),
        (400, {"error": "`inputs` cannot be empty", "error_type": "Empty"}, State.REFUSED),
        # text-generation-inference
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, State.OVERLOADED),
        (
            422,
            {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"},
            State.INPUT_TOO_LONG,
        ),
        # vLLM
        (401, {"error": "Unauthorized"}, State.BAD_TOKEN),
        (404, openai("The model `x` does not exist.", "NotFoundError", 404), State.WRONG_MODEL),
        (404, {"detail": "Not Found"}, State.WRONG_URL),
        (
            400,
            openai("This model's maximum context length is 512 tokens. However, you requested 600"),
            State.INPUT_TOO_LONG,
        ),
        # llama.cpp
        (503, openai("Loading model", "unavailable_error", 503), State.WAKING_UP),
        (401, openai("Invalid API Key", "authentication_error", 401), State.BAD_TOKEN),
        (404, openai("File Not Found", "not_found_error", 404), State.WRONG_URL),
        (
            400,
            openai(
                "request (9412 tokens) exceeds the available context size (8192 tokens), try "
                "increasing it",
                "exceed_context_size_error",
                400,
            ),
            State.INPUT_TOO_LONG,
        ),
        (
            500,
            openai(
                "input (700 tokens) is too large to process. increase the physical batch size",
                "server_error",
                500,
            ),
            State.INPUT_TOO_LONG,
        ),
        (
            501,
            openai("This server does not support embeddings. Start it with `--embeddings`"),
            State.WRONG_MODEL,
        ),
        # SGLang and Together, vLLM's engine, Hugging Face's toolkit
        (
            400,
            {
                "object": "error",
                "message": "The input (600 tokens) is longer than the model's context length "
                "(512 tokens).",
                "code": 400,
            },
            State.INPUT_TOO_LONG,
        ),
        (
            400,
            openai("The decoder prompt (length 40) is longer than the maximum model length of 32."),
            State.INPUT_TOO_LONG,
        ),
        (
            500,
            {
                "error": "The expanded size of the tensor (600) must match the existing size (512) "
                "at non-singleton dimension 1."
            },
            State.INPUT_TOO_LONG,
        ),
        (
            400,
            openai("prompt token count of 200000 exceeds the limit of 128000"),
            State.INPUT_TOO_LONG,
        ),
        (400, openai("too much", code="context_length_exceeded"), State.INPUT_TOO_LONG),
        # What FastAPI says of fields that are missing, by itself and as vLLM passes it on
        (422, missing("messages"), State.WRONG_URL),
        (422, missing("input", "model"), State.WRONG_URL),
        (422, missing("model"), State.WRONG_MODEL),
        (422, missing("top_k"), State.REFUSED),
        (422, {"detail": [None, {"type": "missing", "loc": "x"}]}, State.REFUSED),
        (
            400,
            openai("[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]"),
            State.WRONG_URL,
        ),
        # Whatever stands in between
        (503, b"no healthy upstream", State.FAILED),
        (503, b"upstream connect error or disconnect/reset before headers", State.FAILED),
        (503, b"no available server", State.FAILED),
        (503, HTML, State.OVERLOADED),
        (502, b"<html>502 Bad Gateway</html>", State.FAILED),
        (405, HTML, State.WRONG_URL),
        (403, {"error": "Invalid token"}, State.BAD_TOKEN),
        (407, b"", State.FORBIDDEN),
        (500, {"error": "upstream request timeout: timed out"}, State.TIMED_OUT),
        (418, b"", State.REFUSED),
        (500, b"", State.FAILED),
    ],
)
def test_servers_beside_the_proxy(status, body, state):
    assert found(BESIDE, status, body).state is state


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (InvalidHost("x"), State.DNS),
        (InvalidHost("x", is_denied=True), State.NOT_ALLOWED),
        (NoReply(Cause("s_s_l_handshake_exception", "x")), State.TLS),
        (NoReply(Cause("connect_timeout_exception", "x")), State.TIMED_OUT),
        (NoReply(Cause("connect_exception", "Connection refused")), State.UNREACHABLE),
        (NoReply(Cause("socket_exception", "Connection reset")), State.UNREACHABLE),
        (NoReply(Cause("i_o_exception", "it broke off")), State.UNREACHABLE),
        (NoReply(Cause("i_o_exception", "Maximum limit"), may_pass=False), State.REPLY_TOO_LARGE),
        (NoReply(Cause("illegal_state_exception", "empty"), may_pass=False), State.WRONG_SHAPE),
    ],
)
def test_without_an_answer(outcome, state):
    assert find_state(BESIDE, outcome) == Finding(state)


@pytest.mark.parametrize(
    ("status", "body", "after", "seconds"),
    [
        (429, b"", 30.0, 30.0),
        (503, {"error": "is loading", "estimated_time": 20.5}, None, 20.5),
        (503, {"error": "is loading", "estimated_time": 20.5}, 7.0, 7.0),
        (503, {"estimated_time": "soon"}, None, None),
        (503, {"estimated_time": -1}, 0.0, None),
        (503, b"", float("inf"), None),
        (429, b"", 1e9, None),
        (401, b"", 30.0, None),  # it will not pass
        (400, b"", 30.0, None),
    ],
)
def test_when_it_will_pass_is_kept_where_it_will(status, body, after, seconds):
    assert found(BESIDE, status, body, after).seconds == seconds


@pytest.mark.parametrize(
    ("text", "status", "state"),
    [
        ("Input validation error: `inputs` must have less than 5 tokens", 422, "input_too_long"),
        ("Request failed during generation: out of memory", 424, "overloaded"),
        ("Model is overloaded", 500, "overloaded"),
        ("whatever", 500, "failed"),
        ("whatever", 429, "rate_limited"),
        ("whatever", 400, "refused"),
    ],
)
def test_errors_amid_a_stream(text, status, state):
    assert state_of_report(BESIDE, text, status) == state


@pytest.mark.parametrize(
    ("url", "hosted"),
    [
        ("https://x.endpoints.huggingface.cloud/v1", True),
        ("https://huggingface.co/x", True),
        ("https://nothuggingface.co/x", False),
        ("https://huggingface.co.evil.test/", False),
        ("http://[::1", False),
        ("x", False),
    ],
)
def test_who_is_hosted_by_hugging_face(url, hosted):
    assert is_hosted(make_endpoint(url=url)) is hosted


@given(
    st.sampled_from(TASKS),
    st.integers(0, 999),
    json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
)
def test_every_answer_has_a_state(task, status, body):
    assert find_state(make_endpoint(task), Refusal(status, body)).state is not State.OK


def test_no_answer_takes_long():
    for piece in (b"model ", b"input (", b"tokens + ", b"payment", b"monthly ", b"token "):
        refusal = Refusal(422, (b'{"error":"' + piece * 32768)[:65530] + b'"}')
        with at_most(1):
            for _ in range(20):
                find_state(HOSTED, refusal)
