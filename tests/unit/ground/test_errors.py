from __future__ import annotations

import inspect

import pytest

from proxy.ground import errors
from proxy.ground.errors import (
    ActionRequestInvalid,
    Cause,
    EndpointNotFound,
    EndpointNotUpdated,
    IllegalArgument,
    NoHandler,
    NotOurs,
    ParsingFailed,
    PlainError,
    ProxyError,
    RequestTimedOut,
    StatusError,
    UnknownService,
    UnreadableReply,
    ValidationFailed,
    XContentParseFailed,
)


def root_of(error: ProxyError) -> str:
    (root,) = error.envelope()["error"]["root_cause"]
    return str(root["reason"])


def test_an_envelope_names_the_error_twice_and_its_status():
    error = {"type": "illegal_argument_exception", "reason": "no"}
    assert IllegalArgument("no").envelope() == {
        "error": {"root_cause": [error], **error},
        "status": 400,
    }


@pytest.mark.parametrize(
    ("error", "root"),
    [
        (StatusError(400, "outer", cause=StatusError(401, "inner")), "inner"),
        (StatusError(400, "outer", cause=IllegalArgument("inner")), "outer"),
        (StatusError(400, "outer", cause=Cause("connect_exception", "inner")), "outer"),
        (StatusError(400, "outer", cause=ParsingFailed("inner", 1, 2)), "inner"),
        (
            StatusError(400, "a", cause=StatusError(500, "b", cause=Cause("x_exception", "c"))),
            "b",
        ),
        (XContentParseFailed("outer", cause=XContentParseFailed("inner")), "inner"),
        (XContentParseFailed("outer", cause=Cause("json_parse_exception", "inner")), "outer"),
        (
            XContentParseFailed(
                "a", cause=XContentParseFailed("b", cause=Cause("input_coercion_exception", "c"))
            ),
            "b",
        ),
    ],
)
def test_the_root_cause_is_the_innermost_exception_of_elasticsearchs_own(error, root):
    assert root_of(error) == root


def test_a_reply_that_holds_no_result_has_the_type_of_its_cause():
    error = UnreadableReply(Cause("illegal_state_exception", "no field"))
    shown = {"type": "illegal_state_exception", "reason": "no field"}
    assert error.envelope() == {"error": {"root_cause": [shown], **shown}, "status": 500}
    assert root_of(StatusError(500, "outer", cause=error)) == "outer"


def test_causes_of_causes_are_shown():
    cause = Cause("a_exception", "a", Cause("b_exception", "b"))
    inner = {"type": "b_exception", "reason": "b"}
    assert cause.render() == {"type": "a_exception", "reason": "a", "caused_by": inner}


def test_causes_nest_and_keep_what_their_class_adds():
    error = StatusError(400, "outer", cause=ParsingFailed("inner", 3, 4))
    body = error.envelope()["error"]
    inner = {"type": "parsing_exception", "reason": "inner", "line": 3, "col": 4}
    assert body["caused_by"] == inner
    assert body["root_cause"] == [inner]


def test_a_trace_stands_in_both_places():
    body = IllegalArgument("no").envelope(trace="the trace")["error"]
    assert body["stack_trace"] == "the trace"
    assert body["root_cause"][0]["stack_trace"] == "the trace"


def test_problems_are_numbered():
    reason = ValidationFailed(["one", "two"]).reason
    assert reason == "Validation Failed: 1: one;2: two;"
    assert ActionRequestInvalid(["one"]).reason == "Validation Failed: 1: one;"


def test_a_timeout_says_so():
    body = RequestTimedOut("late").envelope()
    assert (body["status"], body["error"]["timed_out"]) == (429, True)
    assert body["error"]["type"] == "timeout_exception"


@pytest.mark.parametrize(
    ("shown", "body"),
    [(True, {"error": "no", "status": 405}), (False, {"error": "no"})],
)
def test_plain_errors_are_a_text(shown, body):
    assert PlainError(405, "no", show_status=shown).envelope() == body


@pytest.mark.parametrize(
    "error",
    [
        EndpointNotFound("x"),
        EndpointNotUpdated("x"),
        UnknownService("x"),
        NoHandler("GET", "/_inference/a/b/c"),
    ],
)
def test_an_upstream_may_know_what_is_unknown_here(error):
    assert isinstance(error, NotOurs)


def test_every_error_is_drawn_in_the_docstring():
    drawn = errors.__doc__ or ""
    for name, member in inspect.getmembers(errors, inspect.isclass):
        if issubclass(member, ProxyError) and not name.startswith("_"):
            assert name in drawn, name
