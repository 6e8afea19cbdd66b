"""How much of a text errors hold, whoever made it."""

from __future__ import annotations

import pytest

from proxy.ground.errors import (
    ActionRequestInvalid,
    Cause,
    ChatError,
    NoHandler,
    StatusError,
    Unauthenticated,
    ValidationFailed,
)
from proxy.ground.quoting import MOST, quoted_part, shortened

LONG = "x" * 100_000
ALLOWED = 2 * MOST  # with what says how much is left out


def test_a_text_keeps_its_beginning_and_its_end():
    text = shortened(f"Invalid value [{LONG}] received. [similarity] must be one of [cosine]")
    assert text.startswith("Invalid value [xxx")
    assert text.endswith("xxx] received. [similarity] must be one of [cosine]")
    assert "characters left out" in text
    assert len(text) < ALLOWED


def test_what_is_short_stays_as_it_is():
    text = "x" * MOST
    assert shortened(text) is text
    assert quoted_part("abc") == "abc"


@pytest.mark.parametrize(
    "error",
    [
        StatusError(400, LONG),
        StatusError(400, "x", cause=Cause("x_exception", LONG, Cause("y_exception", LONG))),
        NoHandler("GET", LONG),
        ChatError(400, LONG, LONG, LONG),
        Unauthenticated(401, {"error": {"type": "x", "reason": LONG, "more": [LONG]}}, []),
        ActionRequestInvalid([LONG]),
        StatusError(400, "x").reworded(lambda text: text),
    ],
)
def test_no_error_is_long(error):
    assert len(repr(error.envelope())) < 4 * ALLOWED
    assert len(repr(error.args)) < ALLOWED


def test_every_problem_is_told():
    reason = ValidationFailed([f"{LONG} {n}" for n in range(10)]).reason
    assert [f"{n}: x" in reason and f"x {n};" in reason for n in range(1, 10)] == [True] * 9
    assert len(ValidationFailed([LONG] * 10_000).reason) < 20 * MOST
