"""Parts of JSON that is known to be sound, as the bytes that they are written in.

So what is passed on stays as it was: `1.0`, `1e400`, huge integers, escapes of half characters.
What is not looked into is only skipped, which is cheap for long lists of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

_BLANK: Final = re.compile(rb"[ \t\r\n,:]*+")
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR: Final = re.compile(_STRING + rb"|[^,\]} \t\r\n]++", re.DOTALL)
# What tells where an object or array ends.
# (As a set of characters, it would be found several times more slowly.)
_BRACKET: Final = re.compile(_STRING + rb"|\[|\]|\{|\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: its bytes from `start` to `end`, its value's from `at` on."""

    name: str
    start: int
    at: int
    end: int


def members(data: bytes, at: int = 0) -> Iterator[Member]:
    """The members of the object that begins at `at`, in order; of anything else none."""
    place = _skipped(data, at)
    if data[place : place + 1] != b"{":
        return
    place = _skipped(data, place + 1)
    while data[place : place + 1] != b"}":
        key = _end(data, place)
        value = _skipped(data, key)
        end = _end(data, value)
        yield Member(_name(data[place:key]), place, value, end)
        place = _skipped(data, end)


def _skipped(data: bytes, at: int) -> int:
    """The place behind blanks, commas and colons."""
    found = _BLANK.match(data, at)
    assert found is not None
    return found.end()


def _name(key: bytes) -> str:
    try:
        return str(orjson.loads(key))
    except orjson.JSONDecodeError:  # half a character
        return key[1:-1].decode("utf-8", "replace")


def _end(data: bytes, at: int) -> int:
    """The place behind the value that begins at `at`. Raises: ValueError if there is none."""
    if data[at : at + 1] not in (b"{", b"["):
        found = _SCALAR.match(data, at)
        if found is None:
            raise ValueError(f"no value at [{at}]")
        return found.end()
    depth = 0
    for token in _BRACKET.finditer(data, at):
        bracket = token[0]
        if bracket in (b"{", b"["):
            depth += 1
        elif bracket in (b"}", b"]"):
            depth -= 1
            if not depth:
                return token.end()
    raise ValueError(f"the value at [{at}] does not end")
