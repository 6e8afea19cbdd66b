"""Writes YAML as Elasticsearch lays it out. Source: YamlXContentImpl."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, Final

from proxy.xcontent.numbers import Numbers
from proxy.xcontent.writing import as_numbers, dump_json, runs_of, write_text

# What a reader of YAML would take for a line break, or refuse.
_UNPRINTABLE: Final = re.compile("([\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff])")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NO_KEYS: Final = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_SIMPLE_KEY: Final = 1000  # bytes; readers need not look further for its colon
# YAML 1.1 takes a number with an exponent for a text, unless it has a point and a sign as well.
_NO_POINT: Final = re.compile(rb"(?<![0-9.])([0-9]{1,20})([eE])")
_NO_SIGN: Final = re.compile(rb"([eE])(?=[0-9])")


def dump_yaml(value: Any) -> bytes:
    """YAML: a line `---`, quoted strings, a final line feed."""
    out = BytesIO()
    out.write(b"---")
    _write_value(out, value, b"", b"")
    return out.getvalue()


def _write_value(out: BytesIO, value: Any, line: bytes, list_line: bytes) -> None:
    """A value behind a key; `line` begins the lines of an object, `list_line` those of a list."""
    if not value and isinstance(value, dict | list | tuple | Numbers):
        out.write(b" {}\n" if isinstance(value, dict) else b" []\n")
    elif isinstance(value, dict):
        out.write(b"\n" + line)
        _write_object(out, value, line)
    elif isinstance(value, list | tuple | Numbers):
        out.write(b"\n" + list_line)
        _write_list(out, value, list_line)
    else:
        out.write(b" ")
        _write_scalar(out, value)
        out.write(b"\n")


def _write_object(out: BytesIO, value: dict[str, Any], line: bytes) -> None:
    """Its lines; the first has begun already."""
    before = b""
    for key, item in value.items():
        out.write(before)
        _write_key(out, key, line)
        _write_value(out, item, line + b"  ", line)
        before = line


def _write_list(out: BytesIO, value: Any, line: bytes) -> None:
    """Its lines; the first has begun already."""
    before = b"-"
    for run in runs_of(value):
        if (numbers := as_numbers(run)) is not None:
            out.write(
                before + b" " + _readable(numbers).replace(b",", b"\n" + line + b"- ") + b"\n"
            )
            before = line + b"-"
            continue
        for item in run:
            out.write(before)
            _write_item(out, item, line + b"  ")
            before = line + b"-"


def _write_item(out: BytesIO, value: Any, line: bytes) -> None:
    """A value behind a dash, on the same line."""
    if value and isinstance(value, dict):
        out.write(b" ")
        _write_object(out, value, line)
    elif value and isinstance(value, list | tuple | Numbers):
        out.write(b" ")
        _write_list(out, value, line)
    else:
        _write_value(out, value, line, line)


def _write_key(out: BytesIO, key: str, line: bytes) -> None:
    if len(key) < _SIMPLE_KEY and _PLAIN_KEY.fullmatch(key) and key.lower() not in _NO_KEYS:
        out.write(key.encode() + b":")
        return
    quoted = BytesIO()
    _write_scalar(quoted, key)
    text = quoted.getvalue()
    out.write(text + b":" if len(text) < _SIMPLE_KEY else b"? " + text + b"\n" + line + b":")


def _write_scalar(out: BytesIO, value: Any) -> None:
    if not isinstance(value, str):
        out.write(_readable(dump_json(value)))
        return
    write_text(out, value, _escaped)


def _escaped(text: str) -> bytes:
    return b"".join(
        rb"\u%04X" % ord(part) if _UNPRINTABLE.match(part) else dump_json(part)[1:-1]
        for part in _UNPRINTABLE.split(text)
    )


def _readable(numbers: bytes) -> bytes:
    if b"e" not in numbers and b"E" not in numbers:
        return numbers
    return _NO_SIGN.sub(rb"\1+", _NO_POINT.sub(rb"\1.0\2", numbers))
