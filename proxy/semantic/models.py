"""Makes room for vectors in indices whose fields were declared before their endpoint existed."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import orjson

from proxy.errors import StatusError
from proxy.semantic import layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import ModelSettings, SemanticField, model_settings_of
from proxy.semantic.registry import Fields, WriteTarget

_ROOMLESS: Final = (
    "Field [{path}] of index [{index}] was declared before its inference endpoint [{inference_id}] "
    "existed, and the proxy could not add its vectors to the mapping: it answered [{status}]"
)


async def writable_fields(exchange: Exchange, expression: str) -> Fields:
    """The semantic fields of what is written to, with room for vectors where there can be.

    Raises: UpstreamError; StatusError where the proxy may not change the mapping.
    """
    registry = exchange.parts.registry
    target = await registry.write_target(expression)
    exchange.changes |= target.index is None and bool(target.fields)
    missing = await _without_model(exchange, target.fields)
    if not missing:
        return target.fields
    if target.index is None:
        await _make_index(exchange, expression)
        await registry.look()
        target = await registry.write_target(expression)
    for field, model in missing:
        await _add_model(exchange, target, field, model)
    await registry.look()
    return (await registry.write_target(expression)).fields


async def _without_model(
    exchange: Exchange, fields: Fields
) -> list[tuple[SemanticField, ModelSettings]]:
    found = []
    for field in fields.values():
        if field.model is None:
            endpoint = await exchange.parts.endpoints.find(field.inference_id)
            model = None if endpoint is None else model_settings_of(endpoint)
            if model is not None:
                found.append((field, model))
    return found


async def _make_index(exchange: Exchange, name: str) -> None:
    """Make an index as writing a document to it would, in the caller's name."""
    path = f"/{quote(name, safe='')}"
    await exchange.parts.upstream.ask_as_caller(exchange.request, "PUT", path)
    # What it answers does not matter: if there is still no index, the document itself will tell.


async def _add_model(
    exchange: Exchange, target: WriteTarget, field: SemanticField, model: ModelSettings
) -> None:
    below = layout.field_mapping(field.definition, model.rendered(), number=field.number)
    mapping = {
        "properties": {layout.CONTAINER: layout.container({layout.key_of(field.path): below})}
    }
    index = target.index or ""
    path = f"/{quote(index, safe='')}/_mapping"
    answer = await exchange.parts.upstream.ask_as_proxy("PUT", path, orjson.dumps(mapping))
    if answer.status >= 300:
        raise StatusError(
            503,
            _ROOMLESS.format(
                path=field.path,
                index=index,
                inference_id=field.inference_id,
                status=answer.status,
            ),
        )
