"""Booleans and numbers of parameters and bodies."""

from __future__ import annotations

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.xcontent.values import is_decimal, parse_boolean
from tests.support.samples import at_most


def test_only_true_and_false_are_booleans():
    assert (parse_boolean("true"), parse_boolean("false")) == (True, False)
    for text in ("True", "yes", "1", "", " true"):
        with pytest.raises(IllegalArgument) as caught:
            parse_boolean(text)
        assert caught.value.reason == (
            f"Failed to parse value [{text}] as only [true] or [false] are allowed."
        )


@pytest.mark.parametrize("text", ["1", "+1.5", "-.5", "1.", "1e5", "1.5E-3"])
def test_decimal_numbers(text):
    assert is_decimal(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "1x", "1e", "--1", "1" * 100_000 + "x", "1" * 999 + "x", "1." * 499, "1" * 1001],
)
def test_what_is_no_number_is_known_at_once(text):
    with at_most(1):
        assert not is_decimal(text)
