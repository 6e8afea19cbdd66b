"""YAML as Elasticsearch lays it out, which any reader takes for what JSON says."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given

from proxy.xcontent.yamlwriter import dump_yaml
from tests.support.samples import json_objects


@given(json_objects)
def test_yaml_can_be_read_again(value):
    assert yaml.safe_load(dump_yaml(value)) == value


def test_yaml_looks_like_elasticsearchs():
    value = {"a": {"b": "x", "n": 1}, "c": [True, None], "d": []}
    assert dump_yaml(value).decode() == ('---\na:\n  b: "x"\n  "n": 1\nc:\n- true\n- null\nd: []\n')


def test_halves_of_surrogate_pairs_are_written_as_escapes():
    made = dump_yaml({"a\ud83d": ["\ude00b"]})
    assert rb'"a\uD83D"' in made
    assert rb'"\uDE00b"' in made


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1e-7, 1e16, 1.5e300, -1e-05, 5e-324]},
        {"a": [[1, [2, []], {}], {"b": [{"c": 1, "d": [None]}, {}]}]},
        {"true": "true", "1": "1", "~": "~", "a: b": "a: b", "- a": "# a", "": ""},
        {"k" * 2000: {"a": 1}, "é" * 999: [1], "l" * 2000: "x"},
        {"a": "\x85\u2028\u2029\ufeff\x7f\0\t\r\n \\ \" '"},
        [],
        [1, "x"],
        "x",
    ],
)
def test_yaml_says_what_json_says(value):
    assert yaml.safe_load(dump_yaml(value)) == value
