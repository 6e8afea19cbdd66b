from __future__ import annotations

import json
from functools import partial

import pytest

from proxy.ground.errors import (
    Cause,
    ChatError,
    ParsingFailed,
    ProxyError,
    StatusError,
    XContentParseFailed,
)
from proxy.ground.sse import ServerSentEvent
from proxy.huggingface.calls import Refusal
from proxy.huggingface.chatreplies import parse_chat_event
from proxy.huggingface.failures import failed_to_send, failure
from proxy.huggingface.redaction import hide_token, shown_text
from proxy.huggingface.replies import parse_completion_event, parse_embeddings, parse_rerank
from proxy.inference.endpoints import TaskType
from tests.support.samples import PROFILE, TASKS, TOKEN, at_most, make_endpoint, problem


def refused(task: TaskType, status: int, body: bytes) -> ProxyError:
    return failure(make_endpoint(task), Refusal(status, body), PROFILE).error


def shown(error: ProxyError) -> str:
    return json.dumps(error.envelope(), ensure_ascii=False)


class TestTokensThatProvidersRepeat:
    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("status", [302, 400, 401, 413, 422, 429, 500, 503])
    def test_a_refusal_does_not_show_them(self, task, status):
        text = f"bad token {TOKEN}, {TOKEN}"
        for body in ({"error": text}, {"error": {"message": text}}, {"error": {TOKEN: text}}):
            assert TOKEN not in shown(refused(task, status, json.dumps(body).encode()))

    def test_a_token_at_the_cut_is_not_shown_in_part(self):
        body = json.dumps({"error": "x" * 1990 + TOKEN}).encode()
        assert TOKEN[:8] not in shown(refused(TaskType.TEXT_EMBEDDING, 400, body))

    @pytest.mark.parametrize(
        "data",
        [
            {"error": {"message": f"bad token {TOKEN}"}},
            {"error": TOKEN},
            {"error": ["a", {"b": TOKEN}]},
        ],
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
            (
                lambda data: parse_completion_event(
                    ServerSentEvent(data.decode()), make_endpoint(TaskType.COMPLETION)
                ),
                TOKEN,
            ),
        ],
    )
    def test_a_reply_that_cannot_be_read_does_not_show_them(self, parse, reply):
        error = problem(lambda: parse(reply.encode()))
        assert TOKEN not in shown(failed_to_send(make_endpoint(), error))

    def test_what_stands_around_is_not_quoted_either(self):
        error = problem(lambda: parse_embeddings(f'{{"a":"{TOKEN}", x'.encode()))
        assert isinstance(error, XContentParseFailed)
        assert TOKEN not in shown(error)


class TestTokensThatAreWords:
    """Any text may be a token; those of our own sentences stay as they are."""

    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("token", ["model", "token", "inference entity", "status", "choices"])
    def test_our_own_sentences_stay(self, task, token):
        endpoint = make_endpoint(task, token=token)
        plain = make_endpoint(task, token="another")
        for body in (b"", b'{"error":"no access"}', b'{"error":{"message":"no access"}}'):
            mine, others = (
                failure(each, Refusal(500, body), PROFILE).error for each in (endpoint, plain)
            )
            assert shown(mine) == shown(others)
        for parse in (parse_embeddings, lambda data: parse_rerank(data, 1)):
            error = problem(partial(parse, b'{"a":1}'))
            assert shown(failed_to_send(endpoint, error)) == shown(failed_to_send(plain, error))

    def test_the_providers_text_is_hidden_by_words(self):
        endpoint = make_endpoint(token="token")
        body = b'{"error":"bad token: must have less than 512 tokens"}'
        error = failure(endpoint, Refusal(422, body), PROFILE).error
        assert error.reason.endswith("[bad ********: must have less than 512 tokens]")

    @pytest.mark.parametrize("token", ["model", "a1!", "12345", "my pass word"])
    @pytest.mark.parametrize(
        ("parse", "reply"),
        [
            (lambda data: parse_rerank(data, 1), '[{"index":"TOKEN","score":0}]'),
            (lambda data: parse_rerank(data, 1), '[{"index":0,"score":"TOKENx"}]'),
            (lambda data: parse_rerank(data, 1), '[{"index":99999TOKEN,"score":0}]'),
            (parse_embeddings, '{"TOKEN":1,"TOKEN":2}'),
            (parse_embeddings, "TOKEN"),
        ],
    )
    def test_no_reply_that_cannot_be_read_is_quoted(self, parse, reply, token):
        endpoint = make_endpoint(token=token)
        error = failed_to_send(
            endpoint, problem(lambda: parse(reply.replace("TOKEN", token).encode()))
        )
        assert token not in shown(error)


class TestErrors:
    def test_the_token_is_hidden_in_a_copy_and_in_its_causes(self):
        cause = XContentParseFailed(f"at {TOKEN}", cause=Cause("x_exception", f"in {TOKEN}"))
        error = StatusError(503, f"not {TOKEN}", cause=cause)
        hidden = hide_token(error, make_endpoint())
        assert hidden.render() == {
            "type": "status_exception",
            "reason": "not ********",
            "caused_by": {
                "type": "x_content_parse_exception",
                "reason": "at ********",
                "caused_by": {"type": "x_exception", "reason": "in ********"},
            },
        }
        assert (hidden.status, str(hidden)) == (503, "not ********")
        assert error.render()["reason"] == f"not {TOKEN}"

    @pytest.mark.parametrize(
        "error",
        [
            ChatError(400, "bad_request", TOKEN, "x_exception"),
            ParsingFailed(TOKEN, 3, 4),
            StatusError(500, "x", cause=Cause("x_exception", TOKEN)),
        ],
    )
    def test_a_copy_is_the_same_but_for_the_token(self, error):
        hidden = hide_token(error, make_endpoint())
        assert type(hidden) is type(error)
        assert shown(hidden) == shown(error).replace(TOKEN, "********")

    def test_an_error_without_the_token_stays_itself(self):
        error = StatusError(500, "x", cause=Cause("x_exception", "y"))
        assert hide_token(error, make_endpoint()) is error

    def test_of_a_long_text_little_more_is_searched_than_is_shown(self):
        token = "hf_" + "aB3" * 16_000
        for text in ("%61B3" * 200_000, f"x{token} " * 20, "YUIz" * 250_000):
            with at_most(1):
                shown_text(text, make_endpoint(token=token))

    def test_a_long_token_is_hidden_where_the_text_is_cut(self):
        token = "hf_" + "aB3" * 16_000
        for place in (0, 1000, 1990):
            text = shown_text("x " * (place // 2) + token, make_endpoint(token=token))
            assert "aB3aB3" not in text
