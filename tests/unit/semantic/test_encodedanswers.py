"""Answers in a content coding, and what they tell of the layer."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.encodedanswers import cutting, names_us, telling

PLAIN = b'{"_source":{"a":1}}'
OURS = b'{"_source":{"a":1,"xinf":{"body":{}}}}'


def unchanged(data: bytes) -> bytes:
    return data


CODINGS: list[Any] = [
    (None, unchanged, unchanged),
    ("identity", unchanged, unchanged),
    ("gzip", gzip.compress, gzip.decompress),
    ("deflate", zlib.compress, zlib.decompress),
]


@pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS)
def test_what_is_of_us_is_cut_out_and_the_coding_kept(
    coding: str | None, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]
):
    made = cutting().whole(encode(OURS), coding)
    assert made is not None
    assert orjson.loads(decode(made)) == {"_source": {"a": 1}}


@pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS)
def test_what_holds_nothing_of_us_is_left_as_it_is(coding: Any, encode: Any, decode: Any):
    assert cutting().whole(encode(PLAIN), coding) is None
    assert cutting().whole(b"", coding) is None


@pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS)
def test_it_may_come_in_pieces(coding: Any, encode: Any, decode: Any):
    pieces = cutting().pieces(coding)
    encoded = encode(OURS)
    made = b"".join(pieces.feed(encoded[at : at + 5]) for at in range(0, len(encoded), 5))
    assert orjson.loads(decode(made + pieces.finish())) == {"_source": {"a": 1}}


@pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS)
def test_an_answer_is_told_decoded_if_it_tells_something(coding: Any, encode: Any, decode: Any):
    told = telling(names_us)
    assert told(encode(OURS), coding) == OURS
    assert told(encode(PLAIN), coding) is None


@pytest.mark.parametrize(("coding", "body"), [("br", b"x"), ("gzip", b"rubbish")])
def test_what_cannot_be_decoded_is_not_passed_on_uncut(coding: str, body: bytes):
    with pytest.raises(UpstreamBroken):
        cutting().whole(body, coding)
    with pytest.raises(UpstreamBroken):
        telling(names_us)(body, coding)


def test_pieces_that_cannot_be_decoded_break_off():
    with pytest.raises(UpstreamBroken):
        cutting().pieces("gzip").feed(b"rubbish" * 10)
