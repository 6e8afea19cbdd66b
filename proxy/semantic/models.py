"""Makes room for vectors in indices whose fields were declared before their endpoint existed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from proxy.ground.errors import StatusError
from proxy.semantic import layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.modelsettings import ModelSettings, model_settings_of
from proxy.semantic.targets import WriteTarget, write_target
from proxy.xcontent.writing import dump_json

_ROOMLESS: Final = (
    "Field [{path}] of index [{index}] was declared before its inference endpoint [{inference_id}] "
    "existed, and the proxy could not add its vectors to the mapping: the upstream answered "
    "[{status}]"
)


async def writable_target(
    exchange: Exchange, expression: str, given: Mapping[str, ModelSettings] | None = None
) -> WriteTarget:
    """What is written to, with room for vectors where there can be.

    `given` are models of fields, by path, of which a document brings vectors along.
    Raises: UpstreamError, StoreError; StatusError where the proxy may not change the mapping.
    """
    registry = exchange.parts.registry
    target = await write_target(registry, expression)
    exchange.changes |= target.index is None and bool(target.fields)
    given = given or {}
    missing = await _without_model(exchange, target.fields, given)
    if not missing:
        return target
    if target.index is None:
        await _make_index(exchange, expression)
        await registry.look()
        target = await write_target(registry, expression)
        missing = await _without_model(exchange, target.fields, given)
    if target.index is None:
        return target  # it could not be made: writing to it will say why
    for field, model in missing:
        await _add_model(exchange, target.index, field, model)
    await registry.look()
    return await write_target(registry, expression)


async def _without_model(
    exchange: Exchange, fields: Fields, given: Mapping[str, ModelSettings]
) -> list[tuple[SemanticField, ModelSettings]]:
    found = []
    for field in fields.values():
        if field.model is None:
            endpoints = exchange.parts.endpoints
            endpoint = await endpoints.find(field.inference_id)
            model = given.get(field.path)
            if endpoint is not None:
                model = model_settings_of(await endpoints.completed(endpoint))
            if model is not None:
                found.append((field, model))
    return found


async def _make_index(exchange: Exchange, name: str) -> None:
    """Make an index or data stream as writing a document to it would, in the caller's name."""
    upstream = exchange.parts.upstream
    quoted = quote(name, safe="")
    answer = await upstream.ask_as_caller(exchange.request, "PUT", f"/{quoted}")
    if answer.status == 400:  # also where a template makes data streams of that name
        await upstream.ask_as_caller(exchange.request, "PUT", f"/_data_stream/{quoted}")
    # What it answers does not matter: if there is still no index, the document itself will tell.


async def _add_model(
    exchange: Exchange, index: str, field: SemanticField, model: ModelSettings
) -> None:
    below = layout.field_mapping(
        field.definition,
        model,
        number=field.number,
        in_bits=await exchange.parts.release.quantises_to_bits(),
    )
    mapping = {
        "properties": {layout.CONTAINER: layout.container({layout.key_of(field.path): below})}
    }
    path = f"/{quote(index, safe='')}/_mapping"
    answer = await exchange.parts.upstream.ask_as_proxy("PUT", path, dump_json(mapping))
    if answer.status >= 300:
        raise StatusError(
            400 if answer.status == 400 else 503,  # vectors brought along may be of any size
            _ROOMLESS.format(
                path=field.path,
                index=index,
                inference_id=field.inference_id,
                status=answer.status,
            ),
        )
