"""What a body may grow to."""

from __future__ import annotations

import pytest

from proxy.xcontent.budget import Budget, BudgetExceeded
from proxy.xcontent.document import Bounds
from proxy.xcontent.formats import parse

BOUNDS = Bounds(nesting=2, values=4)


def test_a_body_has_as_many_values_as_its_bounds_allow():
    budget = Budget(b"a long body", BOUNDS)
    for _ in range(4):
        budget.take(1)
    with pytest.raises(BudgetExceeded, match="values"):
        budget.take(1)


def test_a_body_has_no_more_values_than_bytes():
    budget = Budget(b"a", BOUNDS)
    budget.take(0)
    budget.take(1)
    with pytest.raises(BudgetExceeded, match="values"):
        budget.take(1)


def test_values_lie_as_deep_as_the_bounds_allow():
    budget = Budget(b"a long body", BOUNDS)
    budget.take(2)
    with pytest.raises(BudgetExceeded, match="nesting"):
        budget.take(3)


@pytest.mark.parametrize(
    ("data", "media", "bound"),
    [
        (b"[[[1]]]", "json", "nesting"),
        (b"[1,2,3,4]", "json", "values"),
        (b"[[[1]]]", "yaml", "nesting"),
        (b"[1,2,3,4]", "yaml", "values"),
        (b"\x81\x81\x81\x01", "cbor", "nesting"),
        (b"\x84\x01\x02\x03\x04", "cbor", "values"),
    ],
)
def test_an_error_knows_which_bound_was_exceeded(data, media, bound):
    error = parse(data, media, BOUNDS).error
    assert error is not None
    assert error.limit == bound
