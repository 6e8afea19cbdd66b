"""Answers in every format, laid out as Elasticsearch's are."""

from __future__ import annotations

import json
import tracemalloc
from typing import Final

import cbor2
import orjson
import pytest
from hypothesis import given

from proxy.xcontent.numbers import Numbers
from proxy.xcontent.writing import dump_cbor, dump_json, dump_pretty, is_light
from proxy.xcontent.yamlwriter import dump_yaml
from tests.support.samples import at_most, json_values


@given(json_values)
def test_every_format_can_be_read_again(value):
    assert orjson.loads(dump_json(value)) == value
    assert orjson.loads(dump_pretty(value)) == value
    assert cbor2.loads(dump_cbor(value)) == value


def test_pretty_json_looks_like_elasticsearchs():
    value = {"a": [], "b": {}, "c": [1, {"d": None}], "e": "é"}
    assert dump_pretty(value).decode() == (
        '{\n  "a" : [ ],\n  "b" : { },\n  "c" : [\n    1,\n    {\n      "d" : null\n'
        '    }\n  ],\n  "e" : "é"\n}\n'
    )


def test_halves_of_surrogate_pairs_are_written_as_escapes():
    value = {"a\ud83d": ["\ude00b", "é"]}
    assert dump_json(value) == rb'{"a\ud83d":["\ude00b","%b"]}' % "é".encode()
    assert rb'"a\ud83d" : [' in dump_pretty(value)
    assert json.loads(dump_json(value)) == json.loads(dump_pretty(value)) == value


def test_cbor_cannot_carry_halves_of_surrogate_pairs():
    value = {"a\ud83d": ["\ude00b", "é", 1]}
    assert cbor2.loads(dump_cbor(value)) == {"a\ufffd": ["\ufffdb", "é", 1]}


NUMBERS: Final = [0.1, 1e-7, 1e16, 123456789.25, 10, -3, 2**53] * 40_000
LARGE: Final = [
    {"a": NUMBERS, "b": [NUMBERS[:20], []], "c": 1},
    ["x" * 3_000_000, "\n\u2028é" * 500_000, {"k" * 2_000_000: "v"}],
    [{"delta": "a"}] * 100_000,
    {f"token {number}": number / 7 for number in range(100_000)},
    [2**70, "\U0001f600" * 1_200_000, None, True],
    ["\ud83d" * 1_200_000, "\ude00"],
]


@pytest.mark.parametrize("number", range(len(LARGE)))
def test_what_is_large_is_written_in_steps_to_the_same_effect(number):
    value = LARGE[number]
    assert not is_light(value)
    assert json.loads(dump_json(value)) == value
    assert json.loads(dump_pretty(value)) == value
    if number < len(LARGE) - 1:  # the last one has halves of surrogate pairs
        assert cbor2.loads(dump_cbor(value)) == value


def test_what_is_laid_out_takes_time_and_memory_in_proportion():
    value = {"text_embedding": [{"embedding": [0.123456] * 1_000_000}]}
    for dump in (dump_pretty, dump_yaml, dump_cbor, dump_json):
        tracemalloc.start()
        with at_most(5):
            size = len(dump(value))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2.5 * size


def test_an_array_is_written_as_a_list_is():
    for values in ([0.5, 2.0], [0.5] * 300_000):
        for dump in (dump_json, dump_pretty, dump_yaml, dump_cbor):
            assert dump({"a": Numbers.of(values)}) == dump({"a": values})
