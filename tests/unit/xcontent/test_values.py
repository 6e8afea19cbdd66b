"""Booleans of parameters and bodies."""

from __future__ import annotations

import pytest

from proxy.errors import IllegalArgument
from proxy.xcontent.values import parse_boolean


def test_only_true_and_false_are_booleans():
    assert (parse_boolean("true"), parse_boolean("false")) == (True, False)
    for text in ("True", "yes", "1", "", " true"):
        with pytest.raises(IllegalArgument) as caught:
            parse_boolean(text)
        assert caught.value.reason == (
            f"Failed to parse value [{text}] as only [true] or [false] are allowed."
        )
