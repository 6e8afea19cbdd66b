"""Writes answers in JSON, YAML and CBOR, laid out as Elasticsearch does.

What is large is written in steps, as no other thread runs while a library writes a whole value.
Source: JsonXContentGenerator, YamlXContentImpl, CborXContentImpl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any, Final

import orjson

from proxy.xcontent.numbers import Numbers, WrittenNumber, WrittenObject
from proxy.xcontent.weighing import weight

_STEP: Final = 1024 * 1024  # what is written at once, as `weight` counts: a few milliseconds
_RUN: Final = 1024  # values of a list or an object that are written at once, if they are light
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def dump_json(value: Any) -> bytes:
    """Compact JSON; keys stay in their order."""
    if is_light(value):
        return dump_light(value)
    writer = _JsonWriter()
    writer.write(value)
    return writer.out.getvalue()


def is_light(value: Any) -> bool:
    """Whether a value is written in one step."""
    return weight(value, _STEP) <= _STEP


def dump_light(value: Any) -> bytes:
    """Compact JSON of a value that is known to be light."""
    if type(value) is WrittenObject:
        return value.json
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:  # an integer of more than 64 bits, or half of a surrogate pair
        pass
    if isinstance(value, dict):
        members = (b"%b:%b" % (dump_light(key), dump_light(item)) for key, item in value.items())
        return b"{%b}" % b",".join(members)
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(map(dump_light, value))
    return json.dumps(value).encode()


def _fragment(value: Any) -> orjson.Fragment:
    """What orjson does not know by itself: numbers that are JSON already."""
    if isinstance(value, Numbers | WrittenNumber):
        return orjson.Fragment(value.json)
    raise TypeError


def write_text(
    out: BytesIO, text: str, escaped: Callable[[str], bytes] = lambda piece: dump_light(piece)[1:-1]
) -> None:
    """Write a string, however long, in quotes; `escaped` is what stands between them."""
    out.write(b'"')
    for at in range(0, len(text), _STEP):
        out.write(escaped(text[at : at + _STEP]))
    out.write(b'"')


def runs_of(values: list[Any] | tuple[Any, ...] | Numbers) -> Iterator[list[Any]]:
    """A list in pieces that are short enough to be written at once, if their values are light."""
    known = values.to_list() if isinstance(values, Numbers) else values
    return (list(known[at : at + _RUN]) for at in range(0, len(known), _RUN))


class _JsonWriter:
    """Writes compact JSON in steps."""

    def __init__(self) -> None:
        self.out = BytesIO()

    def write(self, value: Any) -> None:
        if is_light(value):
            self.out.write(dump_light(value))
        elif isinstance(value, str):
            write_text(self.out, value)
        elif isinstance(value, Numbers):
            self.out.write(value.json)
        elif isinstance(value, dict):
            self._object(value)
        else:
            self._list(value)

    def _object(self, value: dict[str, Any]) -> None:
        items, before = iter(value.items()), b"{"
        while run := dict(islice(items, _RUN)):
            if is_light(run):
                self.out.write(before + dump_light(run)[1:-1])
                before = b","
                continue
            for key, item in run.items():
                self.out.write(before)
                write_text(self.out, key)
                self.out.write(b":")
                self.write(item)
                before = b","
        self.out.write(b"}")

    def _list(self, value: list[Any]) -> None:
        before = b"["
        for run in runs_of(value):
            if is_light(run):
                self.out.write(before + dump_light(run)[1:-1])
                before = b","
                continue
            for item in run:
                self.out.write(before)
                self.write(item)
                before = b","
        self.out.write(b"]")


def dump_pretty(value: Any) -> bytes:
    """JSON as `?pretty` prints it: two blanks, `"key" : value`, a final line feed."""
    out = BytesIO()
    _write_pretty(out, value, b"\n")
    out.write(b"\n")
    return out.getvalue()


def _write_pretty(out: BytesIO, value: Any, line: bytes) -> None:
    """`line` is what begins a line of the container in which the value lies."""
    inner = line + b"  "
    if isinstance(value, dict):
        before = b"{" + inner
        for key, item in value.items():
            out.write(before)
            write_text(out, key)
            out.write(b" : ")
            _write_pretty(out, item, inner)
            before = b"," + inner
        out.write(line + b"}" if value else b"{ }")
    elif isinstance(value, list | tuple | Numbers):
        before = b"[" + inner
        for run in runs_of(value):
            if (numbers := as_numbers(run)) is not None:
                out.write(before + numbers.replace(b",", b"," + inner))
                before = b"," + inner
                continue
            for item in run:
                out.write(before)
                _write_pretty(out, item, inner)
                before = b"," + inner
        out.write(line + b"]" if value else b"[ ]")
    elif isinstance(value, str):
        write_text(out, value)
    else:
        out.write(dump_light(value))


_NUMBERS: Final = {int, float}


def as_numbers(values: list[Any]) -> bytes | None:
    """Numbers with commas between them; None if there is anything else among the values."""
    return dump_light(values)[1:-1] if _NUMBERS.issuperset(map(type, values)) else None


def dump_cbor(value: Any) -> bytes:
    """The value as CBOR; halves of surrogate pairs, which it cannot carry, become U+FFFD."""
    out = BytesIO()
    _write_cbor(out, value)
    return out.getvalue()


def _write_cbor(out: BytesIO, value: Any) -> None:
    if is_light(value):
        out.write(_cbordump_light(value))
    elif isinstance(value, str):
        pieces = [value[at : at + _STEP] for at in range(0, len(value), _STEP)]
        encoded = [_SURROGATE.sub("\ufffd", piece).encode() for piece in pieces]
        out.write(_cbor_head(3, sum(map(len, encoded))))
        out.writelines(encoded)
    elif isinstance(value, dict):
        out.write(_cbor_head(5, len(value)))
        for key, item in value.items():
            _write_cbor(out, key)
            _write_cbor(out, item)
    else:
        out.write(_cbor_head(4, len(value)))
        for run in runs_of(value):
            if is_light(run):
                out.write(_cbordump_light(run)[len(_cbor_head(4, len(run))) :])
                continue
            for item in run:
                _write_cbor(out, item)


def _cbor_head(major: int, count: int) -> bytes:
    """What a string, list or map begins with. Source: RFC 8949, section 3."""
    if count < 24:
        return bytes([major << 5 | count])
    size = next(size for size in range(4) if count < 1 << (8 << size))
    return bytes([major << 5 | 24 + size]) + count.to_bytes(1 << size)


def _cbordump_light(value: Any) -> bytes:
    import cbor2

    try:
        return cbor2.dumps(value, default=lambda encoder, other: encoder.encode(list(other)))
    except UnicodeEncodeError:
        return cbor2.dumps(_encodable(value))


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | Numbers):
        return [_encodable(item) for item in value]
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
