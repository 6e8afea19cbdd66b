"""Documents as bytes: what is added to them leaves the rest as it was."""

from __future__ import annotations

import pytest

from proxy.semantic.documents import (
    one_line,
    place_below,
    raw_field,
    read_document,
    read_json,
    with_added,
    without_field,
)


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
    assert read_json(line) == {"a": "x // y", "b": 1}


def test_escaped_backslashes_are_no_halves() -> None:
    assert read_json(rb'["\\ud83d", "\ud83d\ude00", "\ud83d"]') == [r"\ud83d", "😀", "\ufffd"]
