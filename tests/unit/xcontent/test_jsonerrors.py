"""Syntax errors in Jackson's words, at Jackson's positions; parser-cases.jsonl has more."""

from __future__ import annotations

import pytest

from proxy.ground.errors import XContentEnd
from tests.support.bodies import error_of


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("{a:1}", "[1:2]", "Unexpected character ('a' (code 97)): was expecting double-quote"),
        ("{'a':1}", "[1:2]", "Unexpected character (''' (code 39))"),
        ('{"a" 1}', "[1:6]", "was expecting a colon to separate field name and value"),
        ('{"a":1 "b":2}', "[1:8]", "was expecting comma to separate Object entries"),
        ("[1 2]", "[1:4]", "was expecting comma to separate Array entries"),
        ('{"a":1,}', "[1:8]", "was expecting double-quote to start field name"),
        ("[1,]", "[1:4]", "Unexpected character (']' (code 93))"),
        ('{"a":\n  tru}', "[2:7]", "Unrecognized token 'tru'"),
        ('{"a":NaN}', "[1:9]", "Non-standard token 'NaN'"),
        ("[1,", "[1:4]", "Unexpected end-of-input within/between Array entries"),
        ('{"a":01}', None, None),
        ('{"a":1.}', None, None),
        ('{"a":+1}', None, None),
        ('{"a":"\t"}', "[1:7]", "Illegal unquoted character ((CTRL-CHAR, code 9))"),
        (r'{"a":"\x"}', None, None),
        (r'{"a":"\ud800"}', None, None),
    ],
)
def test_says_what_is_wrong_and_where(text, position, problem):
    error = error_of(text.encode())
    assert (error.type, error.status) == ("x_content_parse_exception", 400)
    assert error.cause is not None
    assert error.cause.type == "json_parse_exception"
    if position is not None:
        assert error.reason.startswith(f"{position} ")
        assert problem in error.reason
        assert error.reason == f"{position} {error.cause.reason}"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a":', "Object"),
        ('{"a":1', "Object"),
        ("{", "Object"),
        ("[", "Array"),
        ('[{"a":1}', "Array"),
    ],
)
def test_says_that_the_body_ends_too_early(text, where):
    error = error_of(text.encode())
    assert isinstance(error, XContentEnd)
    assert error.reason == f"[1:{len(text) + 1}] Unexpected end of file"
    assert error.cause is not None
    assert error.cause.type == "json_e_o_f_exception"
    assert error.cause.reason.startswith(f"Unexpected end-of-input within/between {where}")
