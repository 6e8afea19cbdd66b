"""Requests that show mappings: users see what they declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from proxy.semantic import layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import SemanticField
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.mappings import as_declared, shown_field
from proxy.semantic.searches import queried

Patch = Callable[[Any], Any]


def showing(patch: Patch) -> Callable[[Exchange], Any]:
    """The handler of a request whose answer `patch` makes presentable."""

    async def handle(exchange: Exchange) -> web.StreamResponse:
        body = await exchange.read() or None
        answer = await exchange.ask(body)
        return await exchange.patched(answer, hide_in_error if answer.status >= 300 else patch)

    return handle


def indices(document: dict[str, Any]) -> dict[str, Any]:
    """An answer with `mappings` below the name of each index, or legacy template."""
    return {name: _with_mappings(index) for name, index in document.items()}


def index_templates(document: dict[str, Any]) -> dict[str, Any]:
    """An answer with a list of composable templates."""
    return _templates(document, "index_templates", "index_template")


def component_templates(document: dict[str, Any]) -> dict[str, Any]:
    """An answer with a list of component templates."""
    return _templates(document, "component_templates", "component_template")


def simulated(document: dict[str, Any]) -> dict[str, Any]:
    """The answer of `_simulate` and `_simulate_index`."""
    return _with_template(document)


def _templates(document: dict[str, Any], of_list: str, of_one: str) -> dict[str, Any]:
    listed = [
        {**entry, of_one: _with_template(entry[of_one])} for entry in document.get(of_list, [])
    ]
    return {**document, of_list: listed}


def _with_template(document: dict[str, Any]) -> dict[str, Any]:
    template = document.get("template")
    if not isinstance(template, dict):
        return document
    return {**document, "template": _with_mappings(template)}


def _with_mappings(document: dict[str, Any]) -> dict[str, Any]:
    mappings = document.get("mappings")
    if not isinstance(mappings, dict):
        return document
    return {**document, "mappings": as_declared(mappings)}


async def field_mappings(exchange: Exchange) -> web.StreamResponse:
    """The mappings of single fields, by index and full name."""
    answer = await exchange.ask()
    if answer.status >= 300:
        return await exchange.patched(answer, hide_in_error)
    found = (await exchange.parts.registry.look_up(exchange.names.get("index", "_all"))).fields

    def patch(document: dict[str, Any]) -> dict[str, Any]:
        return {
            index: {**entry, "mappings": _fields(entry["mappings"], found.get(index, {}))}
            for index, entry in document.items()
        }

    return await exchange.patched(answer, patch)


def _fields(mappings: Mapping[str, Any], fields: Mapping[str, SemanticField]) -> dict[str, Any]:
    shown = {}
    for path, entry in mappings.items():
        if is_ours(path):
            continue
        field = fields.get(path)
        if field is not None:
            leaf = path.rpartition(".")[2]
            entry = {**entry, "mapping": {leaf: shown_field(field, entry["mapping"][leaf])}}
        shown[path] = entry
    return shown


def is_ours(path: str) -> bool:
    """Whether a field is one that the layer added."""
    return path == layout.CONTAINER or path.startswith(f"{layout.CONTAINER}.")


async def field_capabilities(exchange: Exchange) -> web.StreamResponse:
    """What can be done with fields: semantic ones can be searched. Source: FieldCapabilities."""
    answer = await exchange.ask(await queried(exchange))
    if answer.status >= 300:
        return await exchange.patched(answer, hide_in_error)
    found = (await exchange.parts.registry.look_up(exchange.names.get("index", "_all"))).fields
    paths = {path for fields in found.values() for path in fields}

    def patch(document: dict[str, Any]) -> dict[str, Any]:
        shown = {
            path: _searchable(types) if path in paths else types
            for path, types in document.get("fields", {}).items()
            if not is_ours(path)
        }
        return {**document, "fields": shown}

    return await exchange.patched(answer, patch)


def _searchable(types: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(types)
    if "text" in made:
        made["text"] = {
            key: value for key, value in made["text"].items() if key != "non_searchable_indices"
        }
        made["text"]["searchable"] = True
    return made
