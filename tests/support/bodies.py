"""Bodies read within bounds that suit a test."""

from __future__ import annotations

from typing import Final

from proxy.config import MAX_NESTING
from proxy.ground.errors import ProxyError
from proxy.xcontent.document import Bounds, Document
from proxy.xcontent.formats import parse

BOUNDS: Final = Bounds(nesting=MAX_NESTING, values=500_000)


def read_body(data: bytes, media: str = "json") -> Document:
    """The document of a body; a syntax error is kept in it."""
    return parse(data, media, BOUNDS)


def error_of(data: bytes, media: str = "json") -> ProxyError:
    """The syntax error of a body that has one."""
    error = read_body(data, media).error
    assert error is not None
    return error
