"""Positions in a body, and what errors quote of it."""

from __future__ import annotations

import pytest

from proxy.ground.errors import XContentParseFailed
from proxy.xcontent.document import Document
from proxy.xcontent.jsonreader import parse_json
from tests.support.bodies import BOUNDS, error_of, read_body


def test_positions_count_lines_and_bytes():
    document = read_body('{\n "ü": [1,\n\t2]}'.encode())
    assert document.root is not None
    two = document.root.value["ü"].value[1]
    assert document.position(two.start) == (3, 2)
    array = document.root.value["ü"]
    assert document.at(array.start) == "[2:8]"  # ü is two bytes


def test_quotes_a_bad_body_up_to_500_bytes():
    assert '(byte[])"{x}"; line: 1, column: 2]' in error_of(b"{x}").reason
    body = b'{"a":"' + b"b" * 600 + b'",x}'
    reason = error_of(body).reason
    assert f'"[truncated {len(body) - 500} bytes]' in reason
    assert reason.count("b" * 400) == 1
    assert len(reason) < 800


def test_does_not_quote_a_private_body():
    error = parse_json(b'{"private":x}', BOUNDS, is_private=True).error
    assert error is not None
    assert "private" not in error.reason


def test_a_document_with_an_error_has_no_plain_value():
    document = Document(b"", None, XContentParseFailed("[1:1] no"))
    with pytest.raises(XContentParseFailed):
        document.plain()
