"""Documents as bytes: what is added to them leaves the rest as it was."""

from __future__ import annotations

import pytest

from proxy.semantic.documents import (
    one_line,
    place_below,
    raw_field,
    read_document,
    sources_apart,
    with_added,
    without_field,
)
from proxy.xcontent.loading import load_json


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", b'{"xinf":[]}'),
        (b" { } ", b' {"xinf":[]} '),
        (b"{/**/}", b'{/**/"xinf":[]}'),
        (b'{"a":1e400}', b'{"a":1e400,"xinf":[]}'),
        (b'{"a":1 /* } */ }', b'{"a":1 /* } */,"xinf":[]}'),
        (b'{"a":1} // }', b'{"a":1,"xinf":[]} // }'),
        (rb'{"a":"\ud83d"}', rb'{"a":"\ud83d","xinf":[]}'),
        (b'{"a":"\xed\xa0\xbd"}', b'{"a":"\xed\xa0\xbd","xinf":[]}'),
    ],
)
def test_a_field_is_added_at_the_end(data: bytes, expected: bytes) -> None:
    document = read_document(data)
    assert document is not None
    assert with_added(data, b"[]", document.place) == expected


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b'{"a":', b'{"a":1,"a":2} x', b'{"a":"\xff"}'])
def test_what_is_no_object_is_not_read(data: bytes) -> None:
    assert read_document(data) is None


def test_numbers_of_sources_are_exact() -> None:
    data = b'{"a":12345678901234567890123}'
    found = read_document(data, ["a"])
    assert found is not None
    assert found.content == {"a": 12345678901234567890123}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"doc":{"a":{}} } ', b'{"doc":{"a":{},"xinf":[]} } '),
        (b'{"doc":{ },"doc_as_upsert":true}', b'{"doc":{"xinf":[]},"doc_as_upsert":true}'),
        (b'{"b":1,"doc":{"a":"}"} /* */}', b'{"b":1,"doc":{"a":"}","xinf":[]} /* */}'),
    ],
)
def test_a_field_is_added_below_another(data: bytes, expected: bytes) -> None:
    document = read_document(data)
    assert document is not None
    assert with_added(data, b"[]", place_below(data, document, "doc")) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"x":{}}', b"{}"),
        (b'{"x":{"a":[1]},"b":2.0}', b'{"b":2.0}'),
        (b'{"b":2.0 , "x":1 }', b'{"b":2.0 }'),
        (b'{"a":1, "x":"," ,"b":2}', b'{"a":1, "b":2}'),
    ],
)
def test_a_field_is_taken_out(data: bytes, expected: bytes) -> None:
    left, place = without_field(data, "x")
    assert left == expected
    assert read_document(with_added(left, b"1", place)) is not None


def test_a_field_is_cut_out_as_it_is_written() -> None:
    assert raw_field(b'{"a":1, "_source": {"n":1.50} }', "_source") == b'{"n":1.50}'


def test_line_breaks_and_the_comments_they_end_are_gone() -> None:
    data = b'{"a": "x // y", // c\r\n "b": /* d\n */ 1}\n'
    line = one_line(data)
    assert b"\n" not in line
    assert load_json(line) == {"a": "x // y", "b": 1}


def test_escaped_backslashes_are_no_halves() -> None:
    document = read_document(rb'{"a": ["\\ud83d", "\ud83d\ude00", "\ud83d"]}')
    assert document is not None
    assert document.content == {"a": [r"\ud83d", "😀", "\ufffd"]}


SOURCES = [
    b"{}",
    rb'{"a":"}\" {","b":[{"c":{}},"\""],"n":1.10}',
    b'{ "a": 1e400 /* } " */ , // {\n "_source": {"x": 2} \n}',
    rb'{"\"_source": {"\ud83d": "\\"}}',
]


def test_sources_are_taken_apart_as_they_are() -> None:
    hits = b",".join(b'{"_id":"1","_source" : %b,"sort":["}"]}' % one for one in SOURCES)
    rest, found = sources_apart(b'{"hits":[%b,{"a\\"_source":{}}]}' % hits)
    assert found == SOURCES
    assert [one.get("_source") for one in load_json(rest)["hits"]] == [0, 1, 2, 3, None]


@pytest.mark.parametrize("data", [b'{"_source":{', b'{"_source":{"a":"}'])
def test_sources_without_an_end_are_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="without an end"):
        sources_apart(data)
