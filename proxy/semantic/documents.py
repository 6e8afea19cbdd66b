"""Documents as bytes: read for what is in them, and added to without being written anew.

`1.0`, `1e400`, huge integers, repeated keys and escapes arrive upstream as they were sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.values import holds_numbers
from proxy.xcontent.document import Bounds, Node
from proxy.xcontent.formats import parse
from proxy.xcontent.loading import without_comments

_BOUNDS: Final = Bounds(nesting=1000, values=1_000_000)
_BLANKS: Final = b" \t\r\n"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Escapes, with those of both halves of a character as one.
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
# What comes before the next brace that is none of a text's or a comment's.
_BEFORE_BRACE: Final = re.compile(
    rb'(?:[^"{}/]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|//[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/)*+',
    re.DOTALL,
)
_SOURCE: Final = re.compile(rb'(?<!\\)"_source"[ \t\r\n]*+:[ \t\r\n]*+(?=\{)')
_RAW_HALVES: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object takes one more field."""

    end: int  # the offset behind its closing brace
    is_empty: bool


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """The content of a document, and where more can be added to it."""

    content: dict[str, Any]
    place: Place
    is_lenient: bool = False  # whether there may be more than JSON allows, such as comments


def read_document(data: bytes, sources: Iterable[str] = ()) -> ReadDocument | None:
    """A document; None where it is no object, or has a syntax error, as Elasticsearch sees it.

    Numbers may be rounded, but not those in the fields `sources`.
    Raises: ProxyError for one with more values than can be looked at.
    """
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _read_as_upstream(data)
    if not isinstance(content, dict):
        return None
    if any(holds_numbers(content, source) for source in sources):
        return _read_as_upstream(data)
    return ReadDocument(content, Place(len(data.rstrip(_BLANKS)), not content))


def _read_as_upstream(data: bytes) -> ReadDocument | None:
    """As the upstream reads it, which takes comments, infinite numbers and half characters."""
    root = tree_of(data)
    if root is None:
        return None
    return ReadDocument(root.plain(), Place(root.end, not root.value), is_lenient=True)


def tree_of(data: bytes) -> Node | None:
    """A document as a tree that knows places; None and errors as `read_document`."""
    found = parse(_without_halves(data), "json", _BOUNDS)
    if found.error is not None:
        if found.error.limit is not None:
            raise found.error
        return None
    return found.root if found.root is not None and found.root.kind == "START_OBJECT" else None


def known_tree(data: bytes) -> Node:
    """The tree of a document that was read, which may repeat keys all the same.

    Raises: ProxyError for what Elasticsearch does not take.
    """
    found = parse(_without_halves(data), "json", _BOUNDS)
    if found.error is not None:
        raise found.error
    assert found.root is not None
    return found.root


def _without_halves(data: bytes) -> bytes:
    """A document of the same length in which half characters are U+FFFD."""
    mended = _ESCAPES.sub(lambda match: rb"\ufffd" if match[1] else match[0], data)
    return _RAW_HALVES.sub(b"\xef\xbf\xbd", mended)


def sources_apart(data: bytes) -> tuple[bytes, list[bytes]]:
    """An answer in which the number of each source stands for it, and the sources as they are.

    Raises: ValueError for what is no JSON.
    """
    rest: list[bytes] = []
    sources: list[bytes] = []
    at = 0
    while (found := _SOURCE.search(data, at)) is not None:
        end = _end_of_object(data, found.end())
        rest += (data[at : found.end()], b"%d" % len(sources))
        sources.append(data[found.end() : end])
        at = end
    rest.append(data[at:])
    return b"".join(rest), sources


def _end_of_object(data: bytes, at: int) -> int:
    """The offset behind an object that begins at `at`. Raises: ValueError."""
    depth = 0
    while True:
        found = _BEFORE_BRACE.match(data, at)
        at = at if found is None else found.end()
        match data[at : at + 1]:
            case b"{":
                depth += 1
            case b"}":
                depth -= 1
            case _:
                raise ValueError("an object without an end")
        at += 1
        if not depth:
            return at


def check_own(document: dict[str, Any]) -> None:
    """Raises: IllegalArgument for a document with a field of the name that we use."""
    if layout.CONTAINER in document or any(
        name.startswith(f"{layout.CONTAINER}.") for name in document
    ):
        raise IllegalArgument(
            "the document has a field of a name that is reserved in indices with fields of type "
            "[semantic_text]"
        )


def one_line(data: bytes) -> bytes:
    """A document without line breaks, which only stand between its parts, or a byte order mark."""
    data = data.removeprefix(BYTE_ORDER_MARK)
    if b"\n" not in data and b"\r" not in data:
        return data
    return b" ".join(without_comments(data).splitlines())


def with_added(data: bytes, added: bytes, place: Place, name: str = layout.CONTAINER) -> bytes:
    """`data` with `added`, a value, as the last field of the object at `place`."""
    return added.join(around_added(data, place, name))


def around_added(data: bytes, place: Place, name: str = layout.CONTAINER) -> tuple[bytes, bytes]:
    """As `with_added`: what comes before the value, and what comes after it."""
    comma = b"" if place.is_empty else b","
    brace = place.end - 1
    before = data[:brace].rstrip(_BLANKS)
    return b"%b%b%b:" % (before, comma, orjson.dumps(name)), data[brace:]


def place_below(data: bytes, document: ReadDocument, name: str) -> Place:
    """Where the field `name` of a document ends, which is an object, too."""
    content = document.content
    if next(reversed(content)) == name and not document.is_lenient:
        end = len(data[: document.place.end - 1].rstrip(_BLANKS))
    else:
        root = known_tree(data)
        end = root.value[name].end
    return Place(end, not content[name])


def raw_field(data: bytes, name: str) -> bytes:
    """A field of a document as it is written there."""
    root = known_tree(data)
    node = root.value[name]
    return data[node.start : node.end]


def with_replaced(data: bytes, name: str, value: bytes) -> bytes:
    """A document with another value of a field that it has."""
    root = known_tree(data)
    node = root.value[name]
    return data[: node.start] + value + data[node.end :]


def without_field(data: bytes, name: str) -> tuple[bytes, Place]:
    """A document without a field that it has, and where it ends then."""
    root = known_tree(data)
    keys = list(root.keys)
    index, start = keys.index(name), root.keys[name]
    if index + 1 < len(keys):
        stop = root.keys[keys[index + 1]]
    else:
        stop = root.value[name].end
        start = root.value[keys[index - 1]].end if index else start
    return data[:start] + data[stop:], Place(root.end - (stop - start), len(keys) == 1)
