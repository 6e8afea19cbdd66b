"""CBOR bodies: whatever JSON could also say is read, and all else is refused."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.xcontent.cborreader import MAX_BYTES
from proxy.xcontent.writing import dump_cbor
from tests.support.bodies import error_of, read_body
from tests.support.samples import at_most, json_objects


@given(json_objects)
def test_reads_what_it_writes(value):
    assert read_body(dump_cbor(value), "cbor").plain() == value


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_an_error_of_ours(data):
    document = read_body(data, "cbor")
    assert document.error is None or document.error.status == 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        bytes.fromhex("9bffffffffffffffff"),
        bytes.fromhex("5b0000ffffffffffff"),
        bytes.fromhex("d81c81d81d00"),  # a list that holds itself
        cbor2.dumps(b"bytes"),
        cbor2.dumps({"a": cbor2.undefined}),
        b"\x81" * 2000 + b"\x00",
        b"\xd8\x23" + cbor2.dumps("(a|b)?" * 300_000),  # a regular expression
        b"\xd8\x24" + cbor2.dumps("a: b\n" * 300_000),  # a MIME message
    ],
)
def test_refuses_what_json_could_not_say(data):
    with at_most(2):
        reason = error_of(data, "cbor").reason
    assert reason.startswith(("[1:1] malformed CBOR", "[1:1] the body goes beyond the limit"))


def test_a_large_body_is_refused_before_it_is_read():
    reason = error_of(cbor2.dumps("x" * MAX_BYTES), "cbor").reason
    assert reason.endswith("the limit of its bytes in CBOR, which is [16777216]")


def test_scalars_have_the_texts_of_json():
    document = read_body(cbor2.dumps([True, False, 1e10]), "cbor")
    assert document.root is not None
    texts = [document.text(node) for node in document.root.value]
    assert texts == ["true", "false", "1.0E10"]


@pytest.mark.parametrize("data", [b"\x81" * 300 + b"\x00", cbor2.dumps({"a": 10**5000})])
def test_what_could_not_be_written_again_is_refused(data):
    assert error_of(data, "cbor").status == 400


def test_shared_values_cannot_blow_a_document_up():
    data = b"\x87\xd8\x1c\x88" + b"\x00" * 8
    for n in range(6):
        data += b"\xd8\x1c\x88" + (b"\xd8\x1d" + bytes([n])) * 8
    with at_most(1):
        read_body(data, "cbor")
