"""Writes answers in JSON, YAML and CBOR, laid out as Elasticsearch does.

Source: JsonXContentGenerator, YamlXContentImpl, CborXContentImpl.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import orjson

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def dump_json(value: Any) -> bytes:
    """Compact JSON; keys stay in their order."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits, or half of a surrogate pair
        return json.dumps(value, separators=(",", ":")).encode()


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
    """A string that YAML must quote: every value, but no ordinary key."""

    __slots__ = ()


def dump_yaml(value: Any) -> bytes:
    """YAML: a line `---`, quoted strings, a final line feed."""
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
    """The value as CBOR; halves of surrogate pairs, which it cannot carry, become U+FFFD."""
    import cbor2

    try:
        return cbor2.dumps(value)
    except UnicodeEncodeError:
        return cbor2.dumps(_encodable(value))


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
