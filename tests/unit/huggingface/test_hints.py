"""What callers are told to do about a provider."""

from __future__ import annotations

import json
import re

import pytest

from proxy.ground.causes import Cause
from proxy.ground.errors import ProxyError
from proxy.huggingface.calls import InvalidHost, NoReply, Refusal
from proxy.huggingface.hints import advice_on, advice_on_shape, advice_on_state
from proxy.huggingface.shapes import described
from proxy.huggingface.states import State
from proxy.inference.endpoints import TaskType
from tests.support.huggingface import answering, failing
from tests.support.samples import TASKS, TOKEN, make_endpoint
from tests.support.stubs import Reply, event_reply, json_reply

HOSTED = "https://x1.us-east-1.aws.endpoints.huggingface.cloud"


def state_in(error: ProxyError) -> str | None:
    return None if error.advice is None else error.advice.state


@pytest.mark.parametrize("state", [state for state in State if state is not State.OK])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("url", ["http://tei:8080/embed?key=secret", HOSTED])
def test_every_state_has_a_hint_of_whole_sentences(state, task, url):
    hint = advice_on_state(make_endpoint(task, url=url), state).hint
    assert re.fullmatch(r"[A-Z].*\.", hint)
    assert len(hint) < 400
    assert not re.search(r"\{|\}|  |tei:8080|secret", hint)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[0.1, -2]], "a list of vectors"),
        ([0.1], "a single vector"),
        ([[[0.1]]], "a list of lists of vectors"),
        ([[[[[1]]]]], "a list of lists of vectors"),
        (3, "a number"),
        ("x", "a value"),
        (None, "a value"),
        ([], "a list"),
        ({}, "an object"),
        ({"secret": 1}, "an object"),
        ([{"label": "x", "score": 1}], "a list of objects with [label] and [score]"),
        ([[{"index": 3, "value": 1}]], "a list of lists of objects with [index] and [value]"),
        (
            {"object": "list", "data": [{"index": 0, "embedding": [1]}]},
            "an object with [data] and [index] and [embedding]",
        ),
    ],
)
def test_shapes_are_described(value, words):
    assert described(json.dumps(value, indent=2).encode()) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing"),
        (b" \n<!DOCTYPE html>", "a web page"),
        (b"Hello", "a text that is no JSON"),
        (b"\xef\xbb\xbf[[1", "a list of vectors"),
        (b"[" * 9999, "nested lists"),
        (b"\xff\xfe", "a text that is no JSON"),
    ],
)
def test_what_is_no_json_is_described(data, words):
    assert described(data) == words


@pytest.mark.parametrize(
    ("task", "value", "remedy"),
    [
        ("text_embedding", {"data": [{"embedding": [1.0]}]}, "That is an OpenAI-style route."),
        ("text_embedding", [{"embedding": [[1.0]], "index": 0}], "an OpenAI-style route."),
        ("text_embedding", [[[0.1]]], "a server that pools"),
        ("text_embedding", [{"index": 0, "score": 1}], "leads to a reranker"),
        ("text_embedding", [[{"label": "LABEL_0", "score": 1}]], "leads to a classifier"),
        ("text_embedding", {"choices": []}, "a model that writes texts"),
        ("text_embedding", [0.1], "/embed of text-embeddings-inference"),
        ("text_embedding", {"error": "no"}, "reports an error with a status of success"),
        ("rerank", [[0.1]], "leads to an embedding model"),
        ("rerank", {"results": [{"relevance_score": 1}]}, "in the form of Jina or Cohere"),
        ("sparse_embedding", [[{"index": 1, "value": 2}]], "numbers of tokens"),
        ("completion", [{"generated_text": "x"}], "ends in /v1/chat/completions"),
        ("completion", {"choices": [{"text": "x"}]}, "ends in /v1/chat/completions"),
        ("chat_completion", {"id": "1", "choices": [{"delta": 5}]}, "The error says what of it"),
    ],
)
def test_a_wrong_shape_is_told_with_a_remedy(task, value, remedy):
    advice = advice_on_shape(make_endpoint(TaskType(task)), json.dumps(value).encode())
    assert advice.state == State.WRONG_SHAPE
    assert advice.hint.startswith("Expected ")
    assert remedy in advice.hint


@pytest.mark.parametrize("task", TASKS)
def test_a_setting_is_named_only_where_the_endpoint_has_it(task):
    hint = advice_on_state(make_endpoint(task), State.INPUT_TOO_LONG).hint
    assert ("[max_input_tokens]" in hint) is (task == "text_embedding")


def test_an_answer_without_a_body_is_told_as_one():
    nothing = NoReply(Cause("illegal_state_exception", "empty"), may_pass=False)
    advice = advice_on(make_endpoint(), nothing)
    assert advice.state == State.WRONG_SHAPE
    assert "but the provider answered nothing. Set [url] to " in advice.hint


def test_a_page_for_browsers_is_a_wrong_url():
    advice = advice_on_shape(make_endpoint(), b"<html>")
    assert (advice.state, "a web page" in advice.hint) == (State.WRONG_URL, True)


@pytest.mark.parametrize(
    ("status", "body", "is_general"),
    [
        (400, {"error": "Bad Request: The endpoint is paused"}, True),
        (422, {"detail": [{"type": "missing", "loc": ["body", "inputs"]}]}, True),
        (400, {"error": "this text is not nice"}, False),
        (413, {"error": "`inputs` must have less than 512 tokens. Given: 600"}, False),
        (500, {"error": "something"}, False),
    ],
)
def test_what_would_be_the_same_for_other_texts_is_told_apart(status, body, is_general):
    refusal = Refusal(status, json.dumps(body).encode())
    assert advice_on(make_endpoint(), refusal).is_general is is_general


@pytest.mark.parametrize(
    ("reply", "is_general"),
    [
        ({"data": [{"embedding": [1]}]}, True),
        ([{"label": "a", "score": 1}], True),
        ({"error": "one of them is bad"}, False),
        ([[1, 2], [None, 2]], False),
    ],
)
def test_so_is_a_form_that_is_that_of_another_server(reply, is_general):
    advice = advice_on_shape(make_endpoint(), json.dumps(reply).encode())
    assert advice.is_general is is_general


def test_hints_name_hugging_faces_pages_where_it_is_the_provider():
    for url, has_page in ((HOSTED, True), ("http://tei:8080", False)):
        for status in (401, 402, 403):
            advice = advice_on(make_endpoint(url=url), Refusal(status, b""))
            assert ("https://huggingface.co" in advice.hint) is has_page


@pytest.mark.parametrize(
    ("task", "body", "says"),
    [
        ("text_embedding", {"error": "no"}, "message"),
        ("text_embedding", {"error": {"message": "no"}}, "log"),
        ("text_embedding", {"detail": "no"}, "log"),
        ("rerank", {"error": ["no"]}, "log"),
        ("completion", {"error": {"message": "no"}}, "message"),
        ("chat_completion", {"object": "error", "message": "no"}, "log"),
    ],
)
def test_a_refusal_refers_to_the_providers_message_only_where_it_is_shown(task, body, says):
    refusal = Refusal(409, json.dumps(body).encode())
    hint = advice_on(make_endpoint(TaskType(task)), refusal).hint
    assert hint == f"The provider does not accept the request. Its own {says} says why."


@pytest.mark.parametrize(
    "body",
    [
        b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_a_server_that_speaks_tls_is_told(body):
    advice = advice_on(make_endpoint(), Refusal(400, body))
    assert advice.state == State.WRONG_URL
    assert advice.hint == "The provider speaks TLS there: use https:// in the endpoint's [url]."


def test_a_redirect_and_a_denied_address_have_hints_of_their_own():
    assert "leads elsewhere" in advice_on(make_endpoint(), Refusal(308, b"")).hint
    denied = InvalidHost("x", is_denied=True)
    assert "[egress.allow]" in advice_on(make_endpoint(), denied).hint


class TestErrorsThatCallersSee:
    async def test_a_refusal_has_hint_status_and_time(self):
        reply = Reply(status=503, headers={"Retry-After": "3600"}, body=b'{"error":"is loading"}')
        async with answering(reply) as provider:
            error = await failing(provider.embed("a"))
        shown = error.envelope()["error"]
        assert shown["provider_status"] == 503
        assert shown["hint"].startswith("The provider is starting.")
        assert shown["reason"].endswith("status [503]. Error message: [is loading]")
        assert error.headers == [("Retry-After", "3600")]

    async def test_a_chat_that_is_refused_has_them_too(self):
        async with answering(json_reply({"error": "no"}, 402)) as provider:
            error = await failing(provider.chunks())
        shown = error.envelope()["error"]
        assert list(shown) == ["code", "message", "type", "hint", "provider_status"]
        assert "no credit left" in shown["hint"]

    async def test_a_reply_of_another_shape_says_what_was_seen(self):
        async with answering(json_reply({"data": [{"embedding": [1], "x": TOKEN}]})) as provider:
            error = await failing(provider.embed("a"))
        shown = error.envelope()["error"]
        assert "answered an object with [data] and [embedding]" in shown["hint"]
        assert "provider_status" not in shown
        assert TOKEN not in str(shown)

    async def test_too_few_results_are_a_wrong_shape(self):
        async with answering(json_reply([[1.0]])) as provider:
            error = await failing(provider.embed("a", "b"))
        assert state_in(error) == State.WRONG_SHAPE

    @pytest.mark.parametrize(
        ("reply", "state"),
        [
            (event_reply("data: {}\n\n"), State.WRONG_SHAPE),
            (event_reply("data: {\n\n"), State.WRONG_SHAPE),
            (json_reply({"choices": []}), State.WRONG_SHAPE),
            (event_reply('data: {"error":"Model is overloaded"}\n\n'), State.OVERLOADED),
            (event_reply("event: error\ndata: out of memory\n\n"), State.OVERLOADED),
            (event_reply(fault="reset_after"), State.UNREACHABLE),
            (event_reply("data: " + "x" * (2 << 20)), State.FAILED),
        ],
    )
    @pytest.mark.parametrize("task", ["deltas", "chunks"])
    async def test_streams_that_fail(self, reply, state, task):
        async with answering(reply) as provider:
            error = await failing(getattr(provider, task)())
        assert state_in(error) == state
        assert error.envelope()["error"]["hint"]

    async def test_a_silent_stream_is_too_late(self):
        async with answering(event_reply(fault="hang_after"), stream_idle_timeout=0.01) as provider:
            error = await failing(provider.chunks())
        assert state_in(error) == State.TIMED_OUT
