"""The formats of bodies and answers, and what reads and writes each. Source: XContentType."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proxy.xcontent.cborreader import parse_cbor
from proxy.xcontent.document import Bounds, Document
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.writing import dump_cbor, dump_json
from proxy.xcontent.yamlreader import parse_yaml
from proxy.xcontent.yamlwriter import dump_yaml

READERS: Final[dict[str, Callable[[bytes, Bounds], Document]]] = {
    "json": parse_json,
    "yaml": parse_yaml,
    "cbor": parse_cbor,
}
# Bytes that take a few milliseconds at most, whatever they are.
QUICKLY_READ: Final[dict[str, int]] = {"json": 4096, "yaml": 256, "cbor": 4096}
WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "json": dump_json,
    "yaml": dump_yaml,
    "cbor": dump_cbor,
}


def parse(data: bytes, media: str, bounds: Bounds, *, lone_surrogates: bool = False) -> Document:
    """Read a body in one of the formats above; a syntax error is kept in the document.

    Halves of surrogate pairs are an error unless `lone_surrogates` are wanted, and in JSON.
    """
    if lone_surrogates and media == "json":
        return parse_json(data, bounds, lone_surrogates=True)
    return READERS[media](data, bounds)
