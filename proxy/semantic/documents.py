"""Documents as bytes: read for what is in them, and added to without being written anew.

`1.0`, `1e400`, huge integers, repeated keys and escapes arrive upstream as they were sent.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.errors import IllegalArgument
from proxy.semantic import layout
from proxy.xcontent.document import Bounds
from proxy.xcontent.formats import parse
from proxy.xcontent.jsonreader import parse_json

_BOUNDS: Final = Bounds(nesting=1000, values=1_000_000)
_BLANKS: Final = b" \t\r\n"


def read_document(data: bytes) -> dict[str, Any] | None:
    """A document's content; None where it is no object, or has a syntax error.

    Elasticsearch reads some that orjson does not, such as those with half an emoji.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = parse_json(data, _BOUNDS, lone_surrogates=True)
        if found.error is not None or found.root is None:
            return None
        document = found.root.plain()
    return document if isinstance(document, dict) else None


def check_own(document: dict[str, Any]) -> None:
    """Raises: IllegalArgument for a document with a field of the name that we use."""
    if layout.CONTAINER in document or any(
        name.startswith(f"{layout.CONTAINER}.") for name in document
    ):
        raise IllegalArgument(
            f"field [{layout.CONTAINER}] is reserved in indices with fields of type [semantic_text]"
        )


def with_added(data: bytes, added: bytes) -> bytes:
    """The object `data` with `added`, an object too, as its last field."""
    return _spliced(data, len(data.rstrip(_BLANKS)) - 1, added)


def with_added_below(data: bytes, name: str, added: bytes) -> bytes:
    """The object `data` with `added` as the last field of its field `name`, an object too.

    Raises: KeyError where there is none.
    """
    found = parse(data, "json", _BOUNDS)
    if found.root is None or found.root.kind != "START_OBJECT":
        raise KeyError(name)
    return _spliced(data, found.root.value[name].end - 1, added)


def _spliced(data: bytes, brace: int, added: bytes) -> bytes:
    """`data` with a field put before the closing brace of the object that ends at `brace`."""
    before = data[:brace].rstrip(_BLANKS)
    comma = b"" if before.endswith(b"{") else b","
    return b'%b%b"%b":%b%b' % (before, comma, layout.CONTAINER.encode(), added, data[brace:])
