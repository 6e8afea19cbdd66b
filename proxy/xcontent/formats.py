"""The formats of bodies and answers: JSON, YAML and CBOR, read with bounds and written like Java.

Source: XContentType and its YAML and CBOR parsers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from math import inf
from typing import Any, Final

import orjson

from proxy.errors import ProxyError, XContentParseFailed
from proxy.xcontent.document import Bounds, Document, Node
from proxy.xcontent.jsonreader import parse_json

MAX_YAML: Final = 256 * 1024  # bytes; its reader is slow
MAX_BITS: Final = 3000  # of one integer
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


def parse(data: bytes, media: str, bounds: Bounds) -> Document:
    """Read a body in one of the formats `json`, `yaml`, `cbor`; syntax errors are kept in it."""
    return {"json": parse_json, "yaml": _parse_yaml, "cbor": _parse_cbor}[media](data, bounds)


class _Room:
    """What a body may grow to when it is read: no more values than it has bytes, either.

    Aliases and shared references could make a small body a huge tree.
    """

    def __init__(self, data: bytes, bounds: Bounds) -> None:
        self._most = min(len(data) + 1, bounds.values)
        self._nesting = bounds.nesting
        self.taken = 0

    def take(self, depth: int, count: int = 1) -> None:
        """Make room for values. Raises: _TooMuch."""
        self.taken += count
        if depth > self._nesting:
            raise _TooMuch("nesting")
        if self.taken > self._most:
            raise _TooMuch("values")


class _TooMuch(ValueError):
    """A body goes beyond the bound of that name."""


def _error(document: Document, offset: int, problem: str, cause: Exception) -> ProxyError:
    if isinstance(cause, _TooMuch):
        reason = f"{document.at(offset)} the body goes beyond the limit of its {cause}"
        return XContentParseFailed(reason).of_limit(str(cause))
    return XContentParseFailed(f"{document.at(offset)} {problem}")


def _parse_yaml(data: bytes, bounds: Bounds) -> Document:
    import yaml

    document, room = Document("", None), _Room(data, bounds)
    try:
        document.source = data.decode()
        if len(data) > MAX_YAML:
            raise ValueError("too large")
        composed = yaml.compose(document.source, Loader=yaml.SafeLoader)
        if composed is not None:
            document.root = _from_yaml(composed, room, 0)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        offset = mark.index if mark is not None else 0
        problem = _yaml_problem(error)
        document.error = _error(document, offset, problem, error)
    document.values = room.taken
    return document


def _yaml_problem(error: Exception) -> str:
    """PyYAML's words, without the names that it quotes; its own ones are like `'<block end>'`."""
    problem = str(getattr(error, "problem", None) or "malformed or oversized YAML")
    return _QUOTED.sub(
        lambda quote: quote[0] if len(quote[0]) == 3 or quote[0][1:2] == "<" else "'...'", problem
    )


def _from_yaml(source: Any, room: _Room, depth: int) -> Node:
    room.take(depth)
    start, end = source.start_mark.index, source.end_mark.index
    if source.id == "mapping":
        node = Node("START_OBJECT", {}, start, end)
        for key, value in source.value:
            if not isinstance(key.value, str) or key.value in node.value:
                raise ValueError("a key twice, or one that is no text")
            key.value.encode()  # ValueError for a lone surrogate
            node.keys[key.value] = key.start_mark.index
            node.value[key.value] = _from_yaml(value, room, depth + 1)
        return node
    if source.id == "sequence":
        items = [_from_yaml(item, room, depth + 1) for item in source.value]
        return Node("START_ARRAY", items, start, end)
    source.value.encode()
    value = _yaml_scalar(source.tag.rpartition(":")[2], source.value)
    return Node(_kind(value), value, start, end)


def _yaml_scalar(tag: str, text: str) -> Any:
    """Null, a boolean or a number where the text is one; dates and the like are texts."""
    match tag, text.lower():
        case "null", _:
            return None
        case "bool", "true" | "false":
            return text.lower() == "true"
        case "int", _ if re.fullmatch(r"[-+]?[0-9]{1,1000}", text):
            return int(text)
        case "float", _ if re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", text):
            return float(text)
    return text


def _parse_cbor(data: bytes, bounds: Bounds) -> Document:
    import cbor2

    document, room = Document(b"", None), _Room(data, bounds)
    try:
        _measure_cbor(data, _Room(data, bounds))
        document.root = _from_plain(cbor2.loads(data), room, 0)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, TypeError) as error:
        document.error = _error(document, 0, "malformed CBOR", error)
    document.values = room.taken
    return document


def _measure_cbor(data: bytes, room: _Room) -> None:
    """Walk over the items of the first value, so that nothing huge is built of a few bytes.

    Raises: _TooMuch; ValueError for a value that is cut off. Source: RFC 8949, section 3.
    """
    at, open_ = 0, [1.0]  # items still to come at each level; infinitely many until a break
    while open_:
        if not open_[-1]:
            open_.pop()
            continue
        open_[-1] -= 1
        room.take(len(open_) - 1)
        if at >= len(data):
            raise ValueError("cut off")
        major, short = data[at] >> 5, data[at] & 31
        size = 1 << (short - 24) if 24 <= short < 28 else 0
        count = int.from_bytes(data[at + 1 : at + 1 + size]) if size else short
        at += 1 + size
        if major == 7 and short == 31:
            open_.pop()
        elif major in (4, 5) or (major in (2, 3) and short == 31):
            open_.append(inf if short == 31 else count * (major - 3))
        elif major == 6:
            open_.append(1)
        elif major in (2, 3):
            at += count


def _from_plain(value: Any, room: _Room, depth: int) -> Node:
    """A tree without positions, from Python objects. Raises: ValueError for foreign types."""
    room.take(depth)
    if isinstance(value, dict):
        items = {str(key): _from_plain(item, room, depth + 1) for key, item in value.items()}
        return Node("START_OBJECT", items, 0, 0, dict.fromkeys(items, 0))
    if isinstance(value, list | tuple):
        return Node("START_ARRAY", [_from_plain(item, room, depth + 1) for item in value], 0, 0)
    return Node(_kind(value), value, 0, 0)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "VALUE_NULL"
        case bool():
            return "VALUE_BOOLEAN"
        case float() if value != value:
            raise ValueError("not a number")
        case int() if value.bit_length() > MAX_BITS:
            raise ValueError("an integer beyond measure")
        case int() | float():
            return "VALUE_NUMBER"
        case str():
            return "VALUE_STRING"
    raise ValueError(f"unsupported type {type(value).__name__}")


# Writing


def dump_json(value: Any) -> bytes:
    """Compact JSON; keys stay in their order."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dump_pretty(value: Any) -> bytes:
    """JSON as `?pretty` prints it: two blanks, `"key" : value`, a final line feed."""
    return (_pretty(value, "") + "\n").encode()


def _pretty(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{inner}{_json(key)} : {_pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}" if rows else "{ }"
    if isinstance(value, list | tuple):
        rows = [inner + _pretty(item, inner) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]" if rows else "[ ]"
    return _json(value)


def _json(value: Any) -> str:
    return dump_json(value).decode()


class _Quoted(str):
    """A YAML value, which Elasticsearch always quotes; keys are never quoted."""

    __slots__ = ()


def dump_yaml(value: Any) -> bytes:
    """YAML as Elasticsearch prints it: a `---` line, quoted strings, a final line feed."""
    import yaml

    return yaml.dump(
        _quoted(value),
        Dumper=_yaml_dumper(),
        sort_keys=False,
        explicit_start=True,
        allow_unicode=True,
        width=2**31,
        encoding="utf-8",
    )


@cache
def _yaml_dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        _Quoted,
        lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'),
    )
    return Dumper


def _quoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if key.isprintable() else _Quoted(key): _quoted(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_quoted(item) for item in value]
    return _Quoted(value) if isinstance(value, str) else value


def dump_cbor(value: Any) -> bytes:
    """The value as CBOR."""
    import cbor2

    return cbor2.dumps(value)


WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "json": dump_json,
    "yaml": dump_yaml,
    "cbor": dump_cbor,
}
