"""Weights of tokens stay as they were written."""

from __future__ import annotations

import orjson

from proxy.xcontent.numbers import WrittenNumber
from proxy.xcontent.weights import Weights


def test_weights_are_written_in_the_order_of_their_tokens():
    weights = Weights.of({"sea": 0.5, "a.b": WrittenNumber("1E-7"), "": 2.0})
    assert weights.json == b'{"sea":0.5,"a.b":1E-7,"":2.0}'
    assert len(weights) == 3
    assert weights.to_dict() == {"sea": 0.5, "a.b": 1e-7, "": 2.0}
    assert "sea" in repr(weights)


def test_a_text_may_have_no_tokens():
    assert (Weights.of({}).json, len(Weights.of({}))) == (b"{}", 0)


def test_half_a_character_is_written_so_that_it_can_be_read():
    weights = Weights.of({"\ud83d": 1.0})
    assert weights.json.isascii()
    assert weights.to_dict() == {"\ud83d": 1.0}
    assert orjson.loads(Weights.of({"é": 1.0}).json) == {"é": 1.0}
