"""Fields of a document by their path, as ingest processors read and write them.

What is written goes into the document's text: all else stays as it was sent.
Source: IngestDocument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.errors import IllegalArgument
from proxy.xcontent.document import Bounds, Node
from proxy.xcontent.jsonreader import parse_json

_BOUNDS: Final = Bounds(nesting=1000, values=1_000_000)
_BLANKS: Final = b" \t\r\n"
_JAVA: Final = {
    str: "java.lang.String",
    bool: "java.lang.Boolean",
    int: "java.lang.Integer",
    float: "java.lang.Double",
    dict: "java.util.HashMap",
    list: "java.util.ArrayList",
}


def names_of(path: str) -> list[str]:
    """The names that a path leads through."""
    return path.removeprefix("_source.").split(".")


def value_at(document: Any, path: str) -> Any:
    """What stands at a path. Raises: IllegalArgument as Elasticsearch does where nothing does."""
    value = document
    for name in names_of(path):
        value = _child(value, name, path)
    return value


def has_value(document: Any, path: str) -> bool:
    """Whether anything stands at a path, be it null."""
    try:
        value_at(document, path)
    except IllegalArgument:
        return False
    return True


def _child(value: Any, name: str, path: str) -> Any:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        raise IllegalArgument(f"field [{name}] not present as part of path [{path}]")
    if isinstance(value, list):
        return value[_place(name, len(value), path)]
    if value is None:
        raise IllegalArgument(f"cannot resolve [{name}] from null as part of path [{path}]")
    kind = _JAVA.get(type(value), type(value).__name__)
    raise IllegalArgument(
        f"cannot resolve [{name}] from object of type [{kind}] as part of path [{path}]"
    )


def _place(name: str, length: int, path: str) -> int:
    if not name.isdecimal():
        raise IllegalArgument(
            f"[{name}] is not an integer, cannot be used as an index as part of path [{path}]"
        )
    if int(name) >= length:
        raise IllegalArgument(
            f"[{name}] is out of bounds for array with length [{length}] as part of path [{path}]"
        )
    return int(name)


def with_value(data: bytes, path: str, value: Any) -> bytes:
    """The object `data` with a value at a path; where there is one already, it is appended.

    Raises: IllegalArgument where the path leads through what is neither object nor array.
    """
    names = names_of(path)
    if _is_new(data, names[0]):
        added = value
        for name in reversed(names[1:]):
            added = {name: added}
        return _inserted(data, len(data.rstrip(_BLANKS)) - 1, names[0], orjson.dumps(added))
    document = parse_json(data, _BOUNDS, lone_surrogates=True)
    assert isinstance(document.source, bytes)
    assert document.root is not None, "only what was read is written"
    node, data = document.root, document.source  # which is without a byte order mark
    for place, name in enumerate(names):
        following = _following(node, name, path)
        if following is None:
            added = value
            for missing in reversed(names[place + 1 :]):
                added = {missing: added}
            return _inserted(data, node.end - 1, name, orjson.dumps(added))
        node = following
    return _appended(data, node, orjson.dumps(value))


def _following(node: Node, name: str, path: str) -> Node | None:
    """What is at a name; None where it can be added."""
    if node.kind == "START_OBJECT":
        found: Node | None = node.value.get(name)
        return found
    if node.kind == "START_ARRAY":
        below: Node = node.value[_place(name, len(node.value), path)]
        return below
    if node.value is None:
        raise IllegalArgument(f"cannot set [{name}] with null parent as part of path [{path}]")
    kind = _JAVA.get(type(node.value), type(node.value).__name__)
    raise IllegalArgument(
        f"cannot set [{name}] with parent object of type [{kind}] as part of path [{path}]"
    )


def _is_new(data: bytes, name: str) -> bool:
    """Whether a document has no field of this name, as far as that is seen at little cost."""
    try:
        return name not in orjson.loads(data)
    except orjson.JSONDecodeError:
        return False


def _inserted(data: bytes, brace: int, name: str, value: bytes) -> bytes:
    """With a field as the last one of the object that ends at `brace`."""
    before = data[:brace].rstrip(_BLANKS)
    comma = b"" if before.endswith(b"{") else b","
    return b"%b%b%b:%b%b" % (before, comma, orjson.dumps(name), value, data[brace:])


def _appended(data: bytes, node: Node, value: bytes) -> bytes:
    """With an element more in an array, or an array of what was there and this."""
    if node.kind == "START_ARRAY":
        bracket = node.end - 1
        comma = b"," if node.value else b""
        return b"%b%b%b%b" % (data[:bracket], comma, value, data[bracket:])
    before, there, after = data[: node.start], data[node.start : node.end], data[node.end :]
    return b"%b[%b,%b]%b" % (before, there, value, after)
