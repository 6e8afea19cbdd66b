"""Answers in every format, laid out as Elasticsearch's are."""

from __future__ import annotations

import json

import cbor2
import orjson
import yaml
from hypothesis import given

from proxy.xcontent.writing import dump_cbor, dump_json, dump_pretty, dump_yaml
from tests.support.samples import json_objects, json_values


@given(json_values)
def test_every_format_can_be_read_again(value):
    assert orjson.loads(dump_json(value)) == value
    assert orjson.loads(dump_pretty(value)) == value
    assert cbor2.loads(dump_cbor(value)) == value


@given(json_objects)
def test_yaml_can_be_read_again(value):
    assert yaml.safe_load(dump_yaml(value)) == value


def test_pretty_json_looks_like_elasticsearchs():
    value = {"a": [], "b": {}, "c": [1, {"d": None}], "e": "é"}
    assert dump_pretty(value).decode() == (
        '{\n  "a" : [ ],\n  "b" : { },\n  "c" : [\n    1,\n    {\n      "d" : null\n'
        '    }\n  ],\n  "e" : "é"\n}\n'
    )


def test_yaml_looks_like_elasticsearchs():
    assert dump_yaml({"a": {"b": "x", "n": 1}, "c": [True, None], "d": []}).decode() == (
        '---\na:\n  b: "x"\n  n: 1\nc:\n- true\n- null\nd: []\n'
    )


def test_halves_of_surrogate_pairs_are_written_as_escapes():
    value = {"a\ud83d": ["\ude00b", "é"]}
    assert dump_json(value) == rb'{"a\ud83d":["\ude00b","\u00e9"]}'
    assert rb'"a\ud83d" : [' in dump_pretty(value)
    assert json.loads(dump_json(value)) == json.loads(dump_pretty(value)) == value
    assert rb'"a\uD83D"' in dump_yaml(value)
    assert rb'"\uDE00b"' in dump_yaml(value)


def test_cbor_cannot_carry_halves_of_surrogate_pairs():
    value = {"a\ud83d": ["\ude00b", "é", 1]}
    assert cbor2.loads(dump_cbor(value)) == {"a\ufffd": ["\ufffdb", "é", 1]}
