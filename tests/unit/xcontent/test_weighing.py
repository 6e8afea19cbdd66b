"""How large a value is, told without going through all of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from proxy.xcontent.numbers import Numbers
from proxy.xcontent.weighing import weight
from proxy.xcontent.writing import dump_json
from tests.support.samples import json_values


@given(json_values)
def test_what_is_light_is_short(value):
    assert len(dump_json(value)) <= 32 * (weight(value, 1_000_000) + 1)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1000,
        {"x" * 1000: None},
        {"index": 0, "text": "x" * 1000},
        [[], ["x" * 1000]],
        [0.5] * 200,
        Numbers.of([0.125] * 200),
        dict.fromkeys(map(str, range(200)), 0.5),
    ],
)
def test_what_is_long_weighs_much_wherever_it_stands(value):
    assert weight(value, 10_000) >= 1000


def test_counting_ends_where_it_does_not_matter_any_more():
    endless: list[Any] = ["x"]
    endless.append(endless)
    assert 100 < weight(endless, 100) < 200
