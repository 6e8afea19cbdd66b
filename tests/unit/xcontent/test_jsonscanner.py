"""Single tokens of JSON."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given

from proxy.xcontent.jsonscanner import (
    _end_of_piece,
    scan_literal,
    scan_number,
    scan_string,
    skip_blanks,
)
from tests.support.samples import texts

STEP: Final = 1_100_000  # bytes that may be gone through in one go: a few milliseconds


@pytest.mark.parametrize(
    ("data", "end"),
    [(b" \t\r\n1", 4), (b"// a\n1", 5), (b"/**/ /*\n*/1", 10), (b"1", 0), (b"/*", 0)],
)
def test_skips_white_space_and_comments(data, end):
    assert skip_blanks(data, 0) == end


@pytest.mark.parametrize("text", [b"0", b"-0", b"10", b"1.50", b"-1e2", b"1.5E+3"])
def test_finds_numbers_and_whether_they_are_whole(text):
    assert scan_number(b"[" + text + b",", 1) == (text, not text.lstrip(b"-").isdigit())


@pytest.mark.parametrize("text", [b"01", b"1.", b"-", b"1e", b".5", b"+1", b"NaN"])
def test_finds_no_number_where_json_has_none(text):
    assert scan_number(text, 0) is None


def test_a_literal_ends_where_the_word_does():
    assert scan_literal(b"[true]", 1) == ("VALUE_BOOLEAN", True, 5)
    assert scan_literal(b"null", 0) == ("VALUE_NULL", None, 4)
    assert scan_literal(b"truest", 0) is None
    assert scan_literal(b"nul", 0) is None


@given(texts)
def test_finds_every_string_with_its_escapes(text):
    for data in (json.dumps(text).encode(), json.dumps(text, ensure_ascii=False).encode()):
        assert scan_string(data + b'"', 0) == (text, len(data))


@pytest.mark.parametrize("count", [999, 1000, 1001, 5000])
def test_finds_the_end_of_a_string_with_many_escapes(count):
    data = b'"' + b'a\\"' * count + b'"'
    assert scan_string(data + b',"', 0) == ('a"' * count, len(data))


@pytest.mark.parametrize(
    "unit", [b" ", b"\n", b"//\n", b"/**/", b"// " + b"x" * 999 + b"\n", b"/*" + b"x" * 999 + b"*/"]
)
def test_blanks_are_skipped_in_steps(unit):
    data, at = unit * (3_000_000 // len(unit)) + b"1", 0
    while (end := skip_blanks(data, at)) > at:
        assert end - at <= STEP
        at = end
    assert data[at:] == b"1"


@pytest.mark.parametrize("unit", ["a", "é", "\U0001f600", "\\n", "\\u0041", "\\ud83d\\ude00"])
def test_strings_are_read_in_steps(unit):
    data, at = (unit * (3_000_000 // len(unit))).encode() + b'"', 0
    while data[at : at + 1] != b'"':
        end = _end_of_piece(data, at)
        assert 0 < end - at <= STEP
        at = end
    assert at == len(data) - 1


@pytest.mark.parametrize(
    ("text", "length"),
    [
        *((text, 250_000) for text in ("a", "é", "€", "\U0001f600", "\n", "\\")),
        ("x" * 1023 + "é\n", 2_500_000),  # of which pieces are largest
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("before", range(4))
def test_no_character_is_torn_apart_in_a_long_string(text, length, ascii_only, before):
    text = "a" * before + text * (length // len(text))
    data = json.dumps(text, ensure_ascii=ascii_only).encode()
    assert scan_string(data, 0) == (text, len(data))
    assert scan_string(data[:-1], 0) is None
    assert scan_string(data[:-1] + b'\xff"', 0) is None


@pytest.mark.parametrize("data", [b'"a', b'"\\x"', b'"\n"', b'"\xff"', b'"\\ud800"'])
def test_finds_no_string_where_json_has_none(data):
    assert scan_string(data, 0) is None


@pytest.mark.parametrize("text", ["a\ud83d", "\ude00", "\ud83d\ud83d\ude00", "\n\udfff"])
def test_finds_halves_of_surrogate_pairs_where_they_are_wanted(text):
    data = json.dumps(text).encode()
    expected = json.loads(data), len(data)
    assert scan_string(data, 0, lone_surrogates=True) == expected
    assert scan_string(data, 0) is None


@pytest.mark.parametrize("data", [b'"a', b'"\\x"', b'"\\t\n"', b'"\\t\xff"', b'"\\ud80"'])
def test_no_other_string_is_found_with_them(data):
    assert scan_string(data, 0, lone_surrogates=True) is None
