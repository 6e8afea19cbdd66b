"""Bodies read by declared fields."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given

from proxy.ground.errors import ProxyError, XContentEnd, XContentParseFailed
from proxy.xcontent.objectparser import (
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
    Field,
    Located,
    ObjectParser,
    objects_of,
    read_boolean,
    read_float,
    read_int,
    read_plain,
    read_string,
)
from tests.support.bodies import read_body
from tests.support.samples import json_values, refusal_of

INNER = ObjectParser("Inner", {"id": Field(STRING, read_string)}, ("id",))
PARSER = ObjectParser(
    "Outer",
    {
        "name": Field(STRING, read_string),
        "count": Field(NUMBER, read_int),
        "weight": Field(NUMBER, read_float),
        "flag": Field(BOOLEAN, read_boolean),
        "inner": Field(OBJECT, INNER.parse),
        "list": Field(ARRAY, read_plain),
    },
    ("name",),
)


def read(text: str, parser: ObjectParser = PARSER):
    document = read_body(text.encode())
    assert document.root is not None
    try:
        return parser.parse(document, document.root)
    except Located as located:
        return located.error
    except ProxyError as error:
        return error


def test_reads_what_is_declared():
    body = (
        '{"name": "x", "count": "7", "weight": "0.5", "flag": "true",'
        ' "inner": {"id": "i"}, "list": [1, {"a": null}]}'
    )
    assert read(body) == {
        "name": "x",
        "count": 7,
        "weight": 0.5,
        "flag": True,
        "inner": {"id": "i"},
        "list": [1, {"a": None}],
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[]", "[1:1] [Outer] Expected START_OBJECT but was: START_ARRAY"),
        ('"x"', "[1:1] [Outer] Expected START_OBJECT but was: VALUE_STRING"),
        ('{\n "name": 5}', "[2:10] [Outer] name doesn't support values of type: VALUE_NUMBER"),
        ('{"name":null}', "[1:9] [Outer] name doesn't support values of type: VALUE_NULL"),
        ('{"name":"x","zzzzzz":1}', "[1:13] [Outer] unknown field [zzzzzz]"),
        (
            '{"name":"x","cuont":1}',
            "[1:13] [Outer] unknown field [cuont] did you mean [count]?",
        ),
        ('{"inner":{"id":1},"bad":1}', "[1:16] [Outer] failed to parse field [inner]"),
        ('{"inner":{ }}', "[1:12] [Outer] failed to parse field [inner]"),
        ('{"flag":"yes"}', "[1:9] [Outer] failed to parse field [flag]"),
        ("{}", "Required [name]"),
        ('{"count":1}', "Required [name]"),
    ],
)
def test_the_first_problem_wins_and_says_where(body, reason):
    assert read(body).reason == reason


def test_a_problem_before_a_syntax_error_is_found_first():
    assert "unknown field [foo]" in read('{"foo":1, x').reason
    assert "Unexpected character ('x'" in read('{"name":"a", x').reason
    assert "Unexpected end of file" in read('{"name":"a"').reason


@pytest.mark.parametrize(
    ("text", "reason", "cause"),
    [
        ('{"name":"a', "[1:9] [Outer] failed to parse field [name]", XContentEnd),
        ('{"inner":{"id":"x"', "[1:16] [Outer] failed to parse field [inner]", XContentEnd),
        ('{"list":[1,tru]', "[1:12] [Outer] failed to parse field [list]", XContentParseFailed),
    ],
)
def test_a_syntax_error_inside_a_field_names_the_field(text, reason, cause):
    error = read(text)
    assert (error.reason, type(error.cause)) == (reason, cause)


def test_a_lenient_parser_skips_unknown_fields():
    lenient = ObjectParser("L", {"a": Field(STRING, read_string)}, ("a",), lenient=True)
    assert read('{"b":{"c":[1]},"a":"x"}', lenient) == {"a": "x"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("1.9", 1), ("-1.9", -1), ('"3"', 3), ('"1.5"', 1), ("-0", 0), ("1e2", 100)],
)
def test_integers_are_coerced(text, number):
    assert read(f'{{"name":"x","count":{text}}}')["count"] == number


@pytest.mark.parametrize("text", ['"x"', '""', '"1x"', '"Infinity"', '"1' + "0" * 5000 + '"'])
def test_strings_that_are_not_numbers_are_refused(text):
    error = read(f'{{"name":"x","count":{text}}}')
    assert error.reason == "[1:21] [Outer] failed to parse field [count]"
    assert error.cause.type in ("number_format_exception", "illegal_argument_exception")


@pytest.mark.parametrize("text", ["1_0", "٣", "1_0.5"])
def test_only_javas_numbers_are_numbers(text):
    error = read(f'{{"name":"x","count":"{text}"}}')
    assert error.cause.type == "number_format_exception"


@pytest.mark.parametrize("text", ["2147483648", "1e10", "-99999999999", "1e999"])
def test_integers_have_32_bits(text):
    error = read(f'{{"name":"x","count":{text}}}')
    assert "out of range of int (-2147483648 - 2147483647)\n at [Sou" in error.cause.reason
    assert error.cause.cause.type == "input_coercion_exception"
    assert error.root_cause() is error.cause


@pytest.mark.parametrize("text", ['"NaN"', '"Infinity"', "1e999"])
def test_floats_are_finite(text):
    error = read(f'{{"name":"x","weight":{text}}}')
    assert "supports only finite values" in error.cause.reason


@given(json_values)
def test_any_body_is_read_or_refused(value):
    document = read_body(json.dumps(value).encode())
    root = document.root
    assert root is not None
    refusal = refusal_of(lambda: PARSER.parse(document, root))
    assert refusal is None or refusal.status == 400


LISTS: Final = ObjectParser(
    "L",
    {
        "items": Field(OBJECT | ARRAY, objects_of(INNER.parse)).or_null(),
        "name": Field(STRING, read_string).or_null(),
    },
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"items":[{"id":"a"},{"id":"b"}]}', {"items": [{"id": "a"}, {"id": "b"}]}),
        ('{"items":{"id":"a"}}', {"items": [{"id": "a"}]}),
        ('{"items":[]}', {"items": []}),
        ('{"items":null,"name":null}', {"items": None, "name": None}),
    ],
)
def test_a_list_may_be_one_object_and_a_value_null(text, values):
    assert read(text, LISTS) == values


@pytest.mark.parametrize("text", ['{"items":5}', '{"items":[5]}', '{"items":[null]}', '{"name":5}'])
def test_neither_may_be_anything_else(text):
    assert isinstance(read(text, LISTS), XContentParseFailed)
