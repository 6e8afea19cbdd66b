from __future__ import annotations

import pytest

from proxy.ground.advice import Advice
from proxy.ground.errors import Cause, ChatError, ChatFailed, StatusError

ADVICE = Advice("paused", "Resume it.", 400, 1.2)
SHOWN = {"hint": "Resume it.", "provider_status": 400}


def test_it_is_told_once_outermost():
    inner = StatusError(400, "inner", cause=Cause("x", "y")).advised(ADVICE)
    outer = StatusError(400, "outer", cause=StatusError(500, "between", cause=inner))
    error = outer.render()
    assert SHOWN.items() <= error.items()
    assert str(error).count("Resume it.") == 1
    envelope = outer.envelope()["error"]
    assert envelope["root_cause"] == [{"type": "status_exception", "reason": "inner"}]
    assert SHOWN.items() <= envelope.items()


def test_it_stays_with_an_error_that_is_reworded():
    error = StatusError(400, "secret").advised(ADVICE).reworded(lambda text: "***")
    assert (error.reason, error.advice) == ("***", ADVICE)


def test_chats_show_it_in_their_shapes():
    chat = ChatError(400, "c", "m", "t").advised(ADVICE)
    assert chat.envelope()["error"] == {"code": "c", "message": "m", "type": "t", **SHOWN}
    assert SHOWN.items() <= ChatFailed(chat).envelope()["error"].items()
    assert "hint" not in ChatError(400, "c", "m", "t").advised(None).envelope()["error"]


@pytest.mark.parametrize(
    ("seconds", "header"), [(None, None), (0.2, "1"), (1.2, "2"), (3600, "3600")]
)
def test_a_known_wait_is_a_header(seconds, header):
    error = StatusError(429, "x").advised(Advice("rate_limited", "Wait.", 429, seconds))
    assert dict(error.headers).get("Retry-After") == header
    assert error.envelope()["error"]["hint"] == "Wait."


def test_without_a_status_none_is_told():
    assert "provider_status" not in StatusError(400, "x").advised(Advice("dns", "Mend.")).render()
