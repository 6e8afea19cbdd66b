"""The error for an answer that is too large to be read."""

from __future__ import annotations

from proxy.ground.errors import UpstreamError
from proxy.ground.largeanswers import AnswerTooLarge


def test_it_is_the_callers_mistake_and_says_what_to_do():
    error = AnswerTooLarge(32)
    assert isinstance(error, UpstreamError)
    assert error.envelope()["status"] == 400
    assert error.envelope()["error"]["type"] == "illegal_argument_exception"
    assert "more than [32] bytes" in error.reason
    assert "ask for fewer documents" in error.reason
    assert "[upstream.answer_size]" in error.reason
