"""Reads JSON of Elasticsearch's such that `dump_json` writes it again as it was.

A fast parser reads what is ordinary. It refuses, or rounds, what documents may hold all the same:
`1e400`, integers beyond 64 bits, halves of characters, comments.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Never

import orjson

from proxy.xcontent.document import Bounds, Document
from proxy.xcontent.numbers import WrittenNumber
from proxy.xcontent.values import MAX_DIGITS

# A double, or 64 bits, can hold any number of fewer digits, which need not count zeros before them.
_MANY: Final = 18
_BLANKS: Final = b" \t\r\n"
_SHORT: Final = 64 * 1024  # bytes that are read and written again on the event loop
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_RUN: Final = re.compile(rb"[0-9]+")
_STRINGS_AND_COMMENTS: Final = re.compile(
    rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|//[^\r\n]*|/\*.*?\*/', re.DOTALL
)


def load_plain(data: bytes, bounds: Bounds) -> Any:
    """Short JSON that says the same to every parser; None where only `parse_json` can tell.

    It does if it is written again as it was, but for blanks: then nothing in it was repeated,
    rounded or spelled in another way.
    """
    if len(data) > min(_SHORT, bounds.values):  # which hold no more values than they have bytes
        return None
    if data.count(b"[") + data.count(b"{") > bounds.nesting:
        return None
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    is_same = data.translate(None, _BLANKS) == orjson.dumps(found).translate(None, _BLANKS)
    return found if is_same else None


def load_json(data: bytes) -> Any:
    """JSON as dicts, lists and scalars. Raises: ValueError for what is none."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _loaded_carefully(data)
    return _loaded_carefully(data) if _may_be_rounded(data) else found


def without_comments(data: bytes) -> bytes:
    """JSON with a blank for each comment."""
    if b"//" not in data and b"/*" not in data:
        return data
    return _STRINGS_AND_COMMENTS.sub(lambda match: match[1] or b" ", data)


def stands_alone(document: Document) -> bool:
    """Whether nothing stands behind the value of a document; others than JSON are not looked at."""
    if document.root is None or not isinstance(document.source, bytes):
        return True
    return not without_comments(document.source[document.root.end :]).strip()


def _may_be_rounded(data: bytes) -> bool:
    """Whether there may be a number of more digits than the fast parser keeps."""
    digits, many = data.translate(_DIGITS, b"."), b"0" * _MANY
    at = digits.find(many)
    written = data.translate(None, b".") if at >= 0 else b""
    while at >= 0:
        run = _RUN.match(written, at)
        assert run is not None
        if len(run[0].lstrip(b"0")) >= _MANY:
            return True
        at = digits.find(many, run.end())
    return False


def _loaded_carefully(data: bytes) -> Any:
    try:
        return _loaded(data)
    except RecursionError:
        raise ValueError("too many levels") from None
    except ValueError:
        if (rest := without_comments(data)) == data:
            raise
    return _loaded(rest)


def _loaded(data: bytes) -> Any:
    return json.loads(data, parse_float=_float, parse_int=_int, parse_constant=_no_number)


def _float(text: str) -> float:
    found = float(text)
    return found if repr(found) == text else WrittenNumber(text)


def _int(text: str) -> int | float:
    return WrittenNumber(text) if text == "-0" or len(text) > MAX_DIGITS else int(text)


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no JSON")
