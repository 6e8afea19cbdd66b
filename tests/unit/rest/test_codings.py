from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rest.codings import StreamCoding, decompressed
from tests.support.requests import body_of, responder_of
from tests.support.samples import refusal_of

ZIPPED = gzip.compress(b"{}", mtime=0)


def decoded(data: bytes, encoding: str) -> bytes:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return body_of(data, headers).data


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", ZIPPED),
        ("GZIP", ZIPPED),
        ("x-gzip", ZIPPED),
        ("deflate", zlib.compress(b"{}")),
        ("br", b"{}"),
        ("identity", b"{}"),
    ],
)
def test_known_encodings_are_undone(encoding, data):
    assert decoded(data, encoding) == b"{}"


@pytest.mark.parametrize("data", [b"no gzip", ZIPPED[:-1], ZIPPED[:15]])
def test_a_broken_encoding_is_refused(data):
    error = refusal_of(lambda: decoded(data, "gzip"))
    assert error is not None
    assert error.status == 400


def test_a_body_is_inflated_in_pieces():
    pieces = decompressed(gzip.compress(b"x" * 5_000_000), "gzip")
    assert [len(piece) for piece in pieces] == [1 << 20] * 4 + [5_000_000 - (4 << 20)]


def test_no_body_needs_no_decoding():
    assert decoded(b"", "gzip") == b""


@given(st.binary(max_size=40), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_decoded_or_refused(data, encoding):
    refusal_of(lambda: decoded(data, encoding))


@pytest.mark.parametrize(
    ("accepted", "encoding", "decode"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("GZIP, br", "gzip", gzip.decompress),
        ("deflate, gzip", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("br, zstd", None, bytes),
        ("", None, bytes),
    ],
)
def test_answers_are_compressed_as_wished(accepted, encoding, decode):
    for status in (200, 400):
        answer = responder_of(headers={"Accept-Encoding": accepted}).document(
            status, {"a": "b" * 99}
        )
        assert answer.headers.get("content-encoding") == encoding
        assert json.loads(decode(answer.body)) == {"a": "b" * 99}


@pytest.mark.parametrize("accepted", ["gzip;q=0", "gzip;q=0, identity", "gzip; q=0.0"])
def test_an_encoding_that_is_not_wished_is_not_used(accepted):
    answer = responder_of(headers={"Accept-Encoding": accepted}).document(200, {})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_each_piece_of_a_stream_can_be_read_when_it_has_come(name):
    coding, decoder = StreamCoding(name), zlib.decompressobj(47)
    assert decoder.decompress(coding.encode(b"one")) == b"one"
    assert decoder.decompress(coding.encode(b"two")) == b"two"
    assert decoder.decompress(coding.end()) == b""
    assert decoder.eof


def test_what_is_not_decoded_yet_is_not_copied():
    data = gzip.compress(os.urandom(16_000_000), 1)
    tracemalloc.start()
    try:
        assert sum(map(len, decompressed(data, "gzip"))) == 16_000_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
