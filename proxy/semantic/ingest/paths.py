"""Fields of a document by their path, as ingest processors read and write them.

What is written goes into the document's text: all else stays as it was sent.
Source: IngestDocument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.rest.parameters import whole_number
from proxy.semantic.documents import Place, read_document, tree_of, with_added
from proxy.xcontent.document import Node
from proxy.xcontent.writing import dump_json

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
    place = whole_number(name)
    if place is None or place >= length:
        raise IllegalArgument(
            f"[{name}] is out of bounds for array with length [{length}] as part of path [{path}]"
        )
    return place


def with_value(data: bytes, path: str, value: Any) -> bytes:
    """The object `data` with a value at a path; where there is one already, it is appended.

    Raises: IllegalArgument where the path leads through what is neither object nor array.
    """
    names = names_of(path)
    document = read_document(data)
    assert document is not None, "only what was read is written"
    if names[0] not in document.content:
        return with_added(data, _rendered(value, names[1:]), document.place, names[0])
    node = tree_of(data)
    assert node is not None
    for number, name in enumerate(names):
        following = _following(node, name, path)
        if following is None:
            added = _rendered(value, names[number + 1 :])
            return with_added(data, added, Place(node.end, not node.value), name)
        node = following
    return _appended(data, node, dump_json(value))


def _rendered(value: Any, names: Sequence[str]) -> bytes:
    """A value below objects of these names."""
    for name in reversed(names):
        value = {name: value}
    return dump_json(value)


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


def _appended(data: bytes, node: Node, value: bytes) -> bytes:
    """With an element more in an array, or an array of what was there and this."""
    if node.kind == "START_ARRAY":
        bracket = node.end - 1
        comma = b"," if node.value else b""
        return b"%b%b%b%b" % (data[:bracket], comma, value, data[bracket:])
    before, there, after = data[: node.start], data[node.start : node.end], data[node.end :]
    return b"%b[%b,%b]%b" % (before, there, value, after)
