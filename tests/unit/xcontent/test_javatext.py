"""Values as Java prints them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.xcontent.javatext import java_double, java_hash_order, java_text
from tests.support.samples import TOKEN, json_values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (100.0, "100.0"),
        (0.001, "0.001"),
        (9.999e-4, "9.999E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (1e10, "1.0E10"),
        (1e-8, "1.0E-8"),
        (-2.5e-5, "-2.5E-5"),
        (1e300, "1.0E300"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_doubles_are_printed_as_java_does(number, text):
    assert java_double(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_double_is_the_same_number(number):
    text = java_double(number)
    assert float(text) == number
    assert "." in text
    assert ("E" in text) == (number != 0 and not 1e-3 <= abs(number) < 1e7)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.5, "1.5"),
        ("x", "x"),
        ([1, "x", None, True, 1.5, []], "[1, x, null, true, 1.5, []]"),
        ({"bar": {"a": [1]}, "foo": 1}, "{bar={a=[1]}, foo=1}"),
        ({}, "{}"),
    ],
)
def test_values_are_printed_as_java_does(value, text):
    assert java_text(value) == text


@given(json_values)
def test_any_value_has_a_text(value):
    assert isinstance(java_text(value), str)


def test_maps_are_walked_in_the_order_of_their_hashes():
    assert java_hash_order(["foo", "bar", "baz"]) == ["bar", "foo", "baz"]
    assert java_hash_order(["b", "a"]) == ["a", "b"]
    assert java_hash_order(["Aa", "BB"]) == ["Aa", "BB"]  # equal hashes: as they came
    assert java_hash_order(["BB", "Aa"]) == ["BB", "Aa"]


def test_more_keys_make_a_larger_table():
    assert java_hash_order([*"abcdefghijkl"])[:2] == ["a", "b"]
    assert java_hash_order([*"abcdefghijklp"])[:2] == ["a", "b"]
    assert java_hash_order([*"abp"])[0] == "p"  # 112 & 15 is 0, 112 & 31 is 16


def test_a_token_in_the_wrong_place_is_never_printed():
    for value in (
        {"api_key": TOKEN},
        {"a": [{"api_key": TOKEN}]},
        {"api_key": {"deep": [TOKEN]}},
        {"api_key": [TOKEN]},
    ):
        assert TOKEN not in java_text(value)
        assert "api_key=********" in java_text(value)
