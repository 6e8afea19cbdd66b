"""JSON of Elasticsearch's is read such that it is written again as it was, in every format."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.xcontent.document import Bounds
from proxy.xcontent.filterpath import parse_filter
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.loading import load_json, load_plain, stands_alone
from proxy.xcontent.writing import dump_cbor, dump_json, dump_pretty
from proxy.xcontent.yamlwriter import dump_yaml

NUMBERS = [
    "1e400",
    "-1E+400",
    "12345678901234567890123",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1234567890123456789",
    "-1.00000000000000000001",
    "12345678901.12345678",
    "1" * 5000,
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_beyond_a_double_stay_as_they_are(text: str):
    data = b'{"a":[%b,1.0,2],"b":{"c":%b}}' % (text.encode(), text.encode())
    assert dump_json(load_json(data)) == data
    assert dump_pretty(load_json(data)).count(text.encode()) == 2
    filtered = parse_filter("b.c").apply(load_json(data))
    assert dump_json(filtered) == b'{"b":{"c":%b}}' % text.encode()


def test_what_stands_beside_such_a_number_stays_as_it_is():
    data = b'{"a":1e400,"b":[1.0,1.10,1e5,-0,-0.0,1.5E-7,0.1,7,true,null],"c":"\\u0000"}'
    assert dump_json(load_json(data)) == data


@pytest.mark.parametrize("number", ["1.0", "0.12345678901234566", "18446744073709551615", "1.5"])
def test_numbers_of_ordinary_documents_are_those_of_python(number: str):
    (found,) = load_json(f"[{number}]".encode())
    assert type(found) in (int, float)
    assert str(found) == number


def test_halves_of_characters_stay_halves():
    data = rb'{"a":"x\ud83d","\ude00":["\ud83d\ude00","\\ud83d"]}'
    expected = rb'{"a":"x\ud83d","\ude00":["' + "😀".encode() + rb'","\\ud83d"]}'
    assert dump_json(load_json(data)) == expected
    assert load_json(b'"\xed\xa0\xbd"') == "\ud83d"


def test_comments_of_documents_are_no_fault():
    data = b'{"a":"x // y", /* } " */ "b":[1e400 // ]\n]}'
    assert dump_json(load_json(data)) == b'{"a":"x // y","b":[1e400]}'


def test_of_keys_that_repeat_the_last_holds():
    assert load_json(b'{"a":1,"a":2}') == {"a": 2}
    assert load_json(b'{"a":1,"a":"\\ud83d"}') == {"a": "\ud83d"}


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"{", b"[NaN]", b"[Infinity]", b"1 2", b'"\xff"', b"[" * 100_000]
)
def test_what_is_no_json_is_refused(data: bytes):
    with pytest.raises(ValueError, match=r"."):
        load_json(data)


def test_such_numbers_are_numbers_in_other_formats():
    document = load_json(b'{"a":[1e400,1.10,12345678901234567890123,1.5E7],"b":1E400}')
    assert yaml.safe_load(dump_yaml(document)) == {
        "a": [float("inf"), 1.1, 12345678901234567890123, 1.5e7],
        "b": float("inf"),
    }
    assert cbor2.loads(dump_cbor(document))["a"][:3] == [float("inf"), 1.1, 12345678901234567890123]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, categories=("L", "N", "P", "Cs"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_all_is_read_as_a_careful_reader_reads_it(document: Any):
    data = json.dumps(document).encode()
    assert load_json(data) == json.loads(data)
    assert json.loads(dump_json(load_json(data))) == document


BOUNDS = Bounds(nesting=5, values=1000)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
)
def test_what_is_plain_is_what_the_parser_says(value: Any, separators: tuple[str, str]):
    data = json.dumps(value, separators=separators).encode()
    found = load_plain(data, BOUNDS)
    document = parse_json(data, BOUNDS)
    assert found is None or (document.error is None and found == document.plain())


@pytest.mark.parametrize("behind", [b"", b" \n", b" // x", b"/* {} */"])
@pytest.mark.parametrize("more", [b"", b"x", b"{}", b"]", b","])
def test_what_stands_behind_a_document(behind: bytes, more: bytes):
    document = parse_json(b'{"a":"// {}"}' + behind + b"\n" + more, Bounds(nesting=9, values=9))
    assert stands_alone(document) is (not more)


def test_ordinary_json_is_plain():
    data = (
        b'{"query": {"semantic": {"field": "a", "query": "a b"}},\n "size": 10, "x": [1.5, true]}'
    )
    found = {"query": {"semantic": {"field": "a", "query": "a b"}}, "size": 10, "x": [1.5, True]}
    assert load_plain(data, BOUNDS) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a":1',
        b'{"a":1,"a":1}',
        b'{"a":1}{"b":2}',
        b'{"a":1/* one */}',
        b'{"a":1e3}',
        b'{"a":0.10}',
        b'{"a":12345678901234567890123}',
        rb'{"a":"\u0061"}',
        b"[[[[[[1]]]]]]",
        b"[%b1]" % (b"1," * 500),
        "{'a':1}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ],
)
def test_all_else_is_left_to_the_parser(data: bytes):
    assert load_plain(data, BOUNDS) is None
