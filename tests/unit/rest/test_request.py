from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import MediaTypeRejected, PlainError, ProxyError
from proxy.rest.parameters import read_boolean, read_time, refuse_unknown
from tests.support.requests import Headers, request_of
from tests.support.samples import refusal_of


def problem(target: str = "/", headers: Headers = None) -> ProxyError:
    found = request_of(target, headers=headers).problem
    assert found is not None
    assert found.status == 400
    return found


def test_parameters_are_decoded_and_the_last_one_counts():
    rest = request_of("/x?a=1&a=2&b=c+d%20e&%66=%C3%BC&empty=&bare&=nothing&")
    assert rest.parameters == {"a": "2", "b": "c d e", "f": "ü", "empty": "", "bare": ""}


@pytest.mark.parametrize("value", ["1", "True", "yes", "maybe"])
def test_an_error_trace_that_is_no_boolean_is_a_problem_of_every_route(value):
    found = problem(f"/x?error_trace={value}")
    assert isinstance(found, PlainError)
    assert found.envelope() == {
        "error": f"Failed to parse value [{value}] as only [true] or [false] are allowed.",
        "status": 400,
    }


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/_inference/%zz", "invalid escape sequence `%zz' at index 12 of: /_inference/%zz"),
        ("/a%", "invalid escape sequence `%' at index 2 of: /a%"),
        ("/a%4", "invalid escape sequence `%4' at index 2 of: /a%4"),
    ],
)
def test_bad_escapes_in_the_path(target, reason):
    found = problem(target)
    assert (found.type, found.reason) == ("illegal_argument_exception", reason)


def test_bad_escapes_in_the_query():
    found = problem("/a?b=%4x")
    assert found.type == "bad_parameter_exception"
    assert found.cause is not None
    assert found.reason == f"java.lang.IllegalArgumentException: {found.cause.reason}"


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
def test_any_target_is_read(target):
    rest = request_of("/" + target)
    for name in rest.parameters:
        refusal_of(partial(read_boolean, rest.parameters, name))
        refusal_of(partial(read_time, rest.parameters, name))
    refusal_of(lambda: refuse_unknown(rest.parameters, ["timeout"], rest.path))


def test_two_ids_are_one_too_many():
    found = problem(headers=[("X-Opaque-Id", "a"), ("X-Opaque-Id", "b")])
    assert found.reason == "multiple values for single-valued header [X-Opaque-Id]."


def test_only_the_first_problem_is_told_and_the_rest_is_read_all_the_same():
    rest = request_of("/a?b=%4x", headers={"Accept": "garbage", "Content-Type": "text/plain"})
    assert isinstance(rest.problem, MediaTypeRejected)
    assert (rest.accept, rest.content_type) == (None, None)
    assert request_of("/a?pretty&b=%4x").parameters == {"pretty": ""}


def test_requests_for_the_same_target_have_problems_of_their_own():
    first, second = (problem("/a?error_trace=maybe") for _ in range(2))
    assert first is not second
