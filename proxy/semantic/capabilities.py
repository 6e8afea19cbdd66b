"""`_field_caps`: what can be done with fields; semantic ones can be searched.

Source: FieldCapabilitiesFetcher, SemanticTextFieldType: they are of the family of texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web

from proxy.rest.parameters import read_boolean
from proxy.semantic import layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields
from proxy.semantic.modelsettings import KINDS
from proxy.semantic.searches import body_of, queried
from proxy.xcontent.loading import load_json

_TEXT: Final = "text"
_VECTORS: Final = f"{layout.CONTAINER}.*.{layout.CHUNKS}.{layout.VECTOR}"
_CAPABLE: Final[Mapping[str, Any]] = {
    "type": _TEXT,
    "metadata_field": False,
    "searchable": True,
    "aggregatable": False,
}
Capabilities = dict[str, dict[str, Any]]  # by field, and its type


async def field_capabilities(exchange: Exchange) -> web.StreamResponse:
    """What can be done with fields."""
    target = await exchange.parts.registry.look_up(exchange.names.get("index", "_all"))
    if not (found := target.fields):
        return await exchange.hand_on_as_plain(target)
    if (sent := await body_of(exchange)) is None:
        return await exchange.hand_on_unread()
    body = load_json(await queried(exchange) or b"") if sent else {}
    asks = _Question(exchange, sent, body)
    answer = await exchange.ask(asks.body or None, target=asks.target)
    return await exchange.revised(
        answer, lambda document: _shown(document, found, asks), is_as_sent=asks.is_as_sent
    )


class _Question:
    """What a caller asks for, and how the upstream is asked.

    An empty field is one without values. As the upstream sees none of a semantic field's, its
    vectors tell: they are asked for, too.
    """

    def __init__(
        self, exchange: Exchange, sent: Mapping[str, Any], body: Mapping[str, Any]
    ) -> None:
        parameters = dict(exchange.rest.parameters)
        self.body: Mapping[str, Any] = body
        self.patterns = _listed(parameters.get("fields", body.get("fields")))
        types = _listed(parameters.get("types"))
        self.with_empty = read_boolean(
            {"include_empty_fields": "true", **parameters}, "include_empty_fields"
        )
        self.with_text = not types or _TEXT in types
        if not self.with_empty and self.with_text:
            if "fields" in parameters:
                parameters["fields"] = ",".join([*self.patterns, _VECTORS])
            else:
                self.body = {**body, "fields": [*self.patterns, _VECTORS]}
            if types:
                parameters["types"] = ",".join([*types, *KINDS])
        self.target = exchange.target_with(parameters)
        self.is_as_sent = self.body == sent and parameters == exchange.rest.parameters

    def names(self, path: str) -> bool:
        """Whether a field is asked for."""
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)


def _shown(
    document: dict[str, Any], found: Mapping[str, Fields], asks: _Question
) -> dict[str, Any]:
    """The answer with semantic fields as Elasticsearch would show them."""
    fields: Capabilities = document.get("fields", {})
    indices = _listed(document.get("indices"))
    by_path: dict[str, set[str]] = {}
    for index, semantic in found.items():
        for field in semantic.values():
            for path in (field.path, *field.aliases):
                by_path.setdefault(path, set()).add(index)
    shown = {path: types for path, types in fields.items() if not layout.is_ours(path)}
    for path, semantic_in in by_path.items():
        if path in shown:
            shown[path] = _searchable(shown[path], semantic_in, indices)
    if not asks.with_empty and asks.with_text:
        for semantic in found.values():
            for field in semantic.values():
                filled = layout.vector_path(field.path) in fields
                for path in (field.path, *field.aliases) if filled else ():
                    if asks.names(path):
                        shown.setdefault(path, {_TEXT: dict(_CAPABLE)})
    return {**document, "fields": shown}


def _searchable(
    types: Mapping[str, dict[str, Any]], semantic_in: set[str], indices: list[str]
) -> dict[str, dict[str, Any]]:
    """The types of a field that is semantic in some indices."""
    if _TEXT not in types or types[_TEXT].get("searchable"):
        return dict(types)
    entry = dict(types[_TEXT])
    everywhere = _listed(entry.get("indices")) or indices
    others = _listed(entry.pop("non_searchable_indices", None)) or everywhere
    left = [index for index in others if index not in semantic_in]
    entry["searchable"] = not left
    if left and len(left) < len(everywhere):
        entry["non_searchable_indices"] = left
    return {**types, _TEXT: entry}


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split(",")
    return list(value) if isinstance(value, list) else []
