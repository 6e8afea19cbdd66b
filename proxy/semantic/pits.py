"""Which indices a point in time is of: its id has their names in it. Source: SearchContextId."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Final

from proxy.semantic.chunking.offsets import utf16_length

# The UUID of an index, behind its length.
_UUID: Final = re.compile(rb"\x16[A-Za-z0-9_-]{22}")
_LONGEST: Final = 255  # bytes of a name
_NAME: Final = re.compile(r'[^A-Z\\/*?"<>| ,#\x00-\x1f]+')


def indices_of(pit: str) -> list[str]:
    """The names of indices that stand in an id; empty for anything that is none."""
    try:
        data = urlsafe_b64decode(pit + "=" * (-len(pit) % 4))
    except (binascii.Error, ValueError):
        return []
    return list(dict.fromkeys(_names(data)))


def _names(data: bytes) -> Iterator[str]:
    """What may stand before each UUID with its own length before it: the name of its index."""
    for match in _UUID.finditer(data):
        end = match.start()
        for start in range(max(end - _LONGEST, 1), end):
            try:
                name = data[start:end].decode()
            except UnicodeDecodeError:
                continue
            if data[:start].endswith(_vint(utf16_length(name))) and _NAME.fullmatch(name):
                yield name


def _vint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])
