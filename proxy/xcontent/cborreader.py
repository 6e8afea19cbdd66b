"""Reads CBOR. Source: CborXContentImpl, RFC 8949."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from proxy.xcontent.budget import Budget, BudgetExceeded, parse_error
from proxy.xcontent.document import Bounds, Document, Node, scalar_kind

MAX_BYTES: Final = 16 * 1024 * 1024  # of a body; the library reads all of it at once
# The tags of numbers beyond 64 bits, and of CBOR itself. For others the library makes what JSON has
# no values for: it even compiles regular expressions.
_TAGS: Final = (2, 3, 55799)


def parse_cbor(data: bytes, bounds: Bounds) -> Document:
    """Read a CBOR body into a tree without positions; an error is kept in the document."""
    import cbor2

    document, budget = Document(b"", None), Budget(data, bounds)
    try:
        if len(data) > MAX_BYTES:
            raise BudgetExceeded("bytes in CBOR", MAX_BYTES)
        _measure(data, Budget(data, bounds))
        document.root = _node(cbor2.loads(data), budget, 0)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, TypeError) as error:
        document.error = parse_error(document, 0, "malformed CBOR", error)
    document.values = budget.values
    return document


def _measure(data: bytes, budget: Budget) -> None:
    """Count the items of the first value before anything is built of it.

    Raises: BudgetExceeded; ValueError for a value that is cut off. Source: RFC 8949, section 3.
    """
    at, missing = 0, [1.0]  # items to come at each level; infinitely many until a break
    while missing:
        if not missing[-1]:
            missing.pop()
            continue
        missing[-1] -= 1
        budget.take(len(missing) - 1)
        if at >= len(data):
            raise ValueError("cut off")
        major, short = data[at] >> 5, data[at] & 31
        size = 1 << (short - 24) if 24 <= short < 28 else 0
        count = int.from_bytes(data[at + 1 : at + 1 + size]) if size else short
        at += 1 + size
        if major == 7 and short == 31:  # a break
            missing.pop()
        elif major in (4, 5) or (major in (2, 3) and short == 31):  # arrays, maps, chunked strings
            missing.append(inf if short == 31 else count * (major - 3))
        elif major == 6:
            if count not in _TAGS:
                raise ValueError("unsupported tag")
            missing.append(1)
        elif major in (2, 3):
            at += count


def _node(value: Any, budget: Budget, depth: int) -> Node:
    """The tree of a value. Raises: ValueError for types that JSON does not have."""
    budget.take(depth)
    if isinstance(value, dict):
        items = {str(key): _node(item, budget, depth + 1) for key, item in value.items()}
        for key in items:
            budget.take_text(key)
        return Node("START_OBJECT", items, 0, 0, dict.fromkeys(items, 0))
    if isinstance(value, list | tuple):
        return Node("START_ARRAY", [_node(item, budget, depth + 1) for item in value], 0, 0)
    if isinstance(value, str):
        budget.take_text(value)
    return Node(scalar_kind(value), value, 0, 0)
