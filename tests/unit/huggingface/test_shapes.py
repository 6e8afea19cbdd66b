from __future__ import annotations

import pytest

from proxy.huggingface.shapes import described, fields, outline


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[[0.5, 1]]", "[[0"),
        (b" [ [\n-1", "[[0"),
        (b"\xef\xbb\xbf[1]", "[0"),
        (b'[[{"label": 1}]]', "[[{"),
        (b'{"data": [[', "{"),
        (b"<html>", "<"),
        (b'"text"', ""),
        (b"", ""),
    ],
)
def test_the_outline_is_the_brackets_with_which_a_reply_begins(data, expected):
    assert outline(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"  ", "nothing"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"1.5", "a number"),
        (b"[1, 2]", "a single vector"),
        (b"[[[[1]]]]", "a list of lists of vectors"),
        (b'[{"score": 1, "index": 0, "score": 2}]', "a list of objects with [score] and [index]"),
        (b'{"secret": 1}', "an object"),
        (b"true", "a value"),
        (b"upstream connect error", "a text that is no JSON"),
        (b"[[[[[", "nested lists"),
    ],
)
def test_a_reply_is_described_in_words(data, expected):
    assert described(data) == expected


def test_only_names_that_servers_are_known_to_use_are_told():
    assert fields(b'{"token-of-mine": 1, "error" : 2, "embedding": 3, "error": 4}') == [
        "error",
        "embedding",
    ]
