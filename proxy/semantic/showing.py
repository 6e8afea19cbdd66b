"""Requests that show mappings: users see what they declared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument
from proxy.rest.request import RestRequest
from proxy.semantic import layout
from proxy.semantic.cutting import cut_out
from proxy.semantic.encodedanswers import Changing
from proxy.semantic.exchange import Exchange
from proxy.semantic.expressions import decoded
from proxy.semantic.fields import SemanticField
from proxy.semantic.hiding import hidden_in_text
from proxy.semantic.inparts import in_parts, reads_types
from proxy.semantic.mappings import declared_everywhere, shown_field
from proxy.semantic.pipelines import shown_everywhere
from proxy.semantic.sourcefilters import url_with

# Paths with the type of a document, which Elasticsearch 8 takes if asked to behave as 7 does.
_TYPED: Final = re.compile(r"/[^/]+/[^/_][^/]*(?:/_bulk|/[^/]+(?:/_create|/_update)?)?/?")
_TYPED_SOURCE: Final = re.compile(r"/[^/]+/[^/_][^/]*/[^/]+/_source/*")
# What a line may have that names another index than the path does.
_ELSEWHERE: Final = (b"_index", b"\\u00", b"\x00")


async def show_mappings(exchange: Exchange) -> web.StreamResponse:
    """Mappings of whatever has some: indices, templates, data streams, the cluster's state."""
    return await exchange.shown(declared_everywhere)


async def show_state(exchange: Exchange) -> web.StreamResponse:
    """The cluster's state, with mappings and pipelines as they were put."""
    return await exchange.shown(lambda found: shown_everywhere(declared_everywhere(found)))


async def show_tasks_in_a_table(exchange: Exchange) -> web.StreamResponse:
    """The tasks under way, among them searches as they were sent to the upstream."""
    if exchange.wants_json:  # or, as for all such tables, text
        return await exchange.hand_on_changed(Changing(_Table))
    return await exchange.hand_on_cut()


class _Table:
    """Hides what is told of us in a table, once all of it has come."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._data += data
        return b""

    def finish(self) -> bytes:
        data = bytes(self._data)
        if data.startswith(b"["):
            return cut_out(data)
        return hidden_in_text(data.decode(errors="surrogateescape")).encode(
            errors="surrogateescape"
        )


async def show_nothing_of_ours(exchange: Exchange) -> web.StreamResponse:
    """Any other answer that may tell of the fields of an index."""
    rest = exchange.rest
    path = rest.path.encode("utf-8", "surrogateescape")
    name = decoded(path[1:].partition(b"/")[0])
    parts = in_parts(path)
    if parts is not None and parts.has_type and reads_types(rest):
        if parts.api == "_bulk" and await _goes_elsewhere(exchange, name):
            raise _no_handler(rest)
    elif name and not name.startswith("_"):
        found = await exchange.parts.registry.look_up(name)
        if not found.fields:
            return await exchange.hand_on_as_plain(found)
        if rest.method in ("PUT", "POST") and _TYPED.fullmatch(rest.path):
            raise _no_handler(rest)
        if _TYPED_SOURCE.fullmatch(rest.path):
            return await exchange.hand_on_cut(parameters=url_with(rest.parameters))
    return await exchange.hand_on_cut()


async def _goes_elsewhere(exchange: Exchange, name: str) -> bool:
    """Whether lines of a bulk at an index may write to one with semantic fields."""
    lines = await exchange.read()
    if any(sign in lines for sign in _ELSEWHERE):
        return True
    return bool((await exchange.parts.registry.look_up(name)).fields)


def _no_handler(rest: RestRequest) -> IllegalArgument:
    return IllegalArgument(f"no handler found for uri [{rest.target}] and method [{rest.method}]")


async def field_mappings(exchange: Exchange) -> web.StreamResponse:
    """The mappings of single fields, by index and full name. Source: GetFieldMappingsResponse."""
    answer = await exchange.ask()
    found = (await exchange.parts.registry.look_up(exchange.names.get("index", "_all"))).fields
    with_defaults = exchange.rest.parameters.get("include_defaults") in ("true", "")

    def patch(document: dict[str, Any]) -> dict[str, Any]:
        return {
            index: {
                **entry,
                "mappings": _fields(entry["mappings"], found.get(index, {}), with_defaults),
            }
            for index, entry in document.items()
        }

    return await exchange.revised(answer, patch)


def _fields(
    mappings: Mapping[str, Any], fields: Mapping[str, SemanticField], with_defaults: bool
) -> dict[str, Any]:
    shown = {}
    for path, entry in mappings.items():
        if layout.is_ours(path):
            continue
        leaf = path.rpartition(".")[2]
        if (mapping := entry["mapping"].get(leaf)) is not None:
            made = _shown(mapping, path, fields, with_defaults)
            entry = {**entry, "mapping": {leaf: made}}
        shown[path] = entry
    return shown


def _shown(
    mapping: Mapping[str, Any],
    path: str,
    fields: Mapping[str, SemanticField],
    with_defaults: bool,
) -> dict[str, Any]:
    """A field's mapping as declared, with those of its multi-fields."""
    made = dict(mapping)
    if "fields" in mapping:
        made["fields"] = {
            name: _shown(child, f"{path}.{name}", fields, with_defaults)
            for name, child in mapping["fields"].items()
        }
    field = fields.get(path)
    return made if field is None else shown_field(field, made, with_defaults=with_defaults)
