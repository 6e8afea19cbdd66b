"""Requests that declare fields: indices, mappings, templates.

A body without a semantic field of ours goes upstream byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from proxy.errors import IllegalArgument
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.semantic.declarations import (
    Declaration,
    Declared,
    completed,
    declare,
    model_for,
    semantic_definitions,
)
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import (
    TYPE,
    ModelSettings,
    SemanticField,
    model_settings_of,
)
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.ingest import change

Found = Mapping[str, Mapping[str, SemanticField]]  # by index and path
_WORD: Final = TYPE.encode()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mapping stands in a body: the keys that lead to it."""

    keys: tuple[str, ...]

    def read(self, body: Any) -> Mapping[str, Any] | None:
        """The mapping; None if there is none."""
        for key in self.keys:
            if not isinstance(body, Mapping):
                return None
            body = body.get(key)
        return body if isinstance(body, Mapping) else None

    def replace(self, body: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
        """The body with another mapping."""
        if not self.keys:
            return dict(mapping)
        first, rest = self.keys[0], Place(self.keys[1:])
        return {**body, first: rest.replace(body[first], mapping)}


OF_INDEX: Final = Place(("mappings",))
OF_TEMPLATE: Final = Place(("template", "mappings"))
ITSELF: Final = Place(())


def declaring(place: Place) -> Callable[[Exchange], Any]:
    """The handler of a request that creates something with the mapping in that place."""

    async def handle(exchange: Exchange) -> web.StreamResponse:
        return await _declare(exchange, place, {})

    return handle


async def put_mapping(exchange: Exchange) -> web.StreamResponse:
    """Add fields to indices, some of which may have semantic fields already."""
    found = (await exchange.parts.registry.look_up(exchange.names["index"])).fields
    if found:
        mapping = await exchange.document()
        if isinstance(mapping, Mapping):
            _refuse_other_types(mapping, found)
    return await _declare(exchange, ITSELF, found)


async def _declare(exchange: Exchange, place: Place, found: Found) -> web.StreamResponse:
    """Send the body with its semantic fields made into others; `found` are those that exist."""
    data = await exchange.read()
    if _WORD not in data and b"\\u" not in data and _is_json(exchange):
        return await change(exchange)
    body = await exchange.document()
    mapping = place.read(body)
    declared = None if mapping is None else await _declared(exchange, mapping)
    if declared is None or not declared.fields:
        return await change(exchange)
    numbers = {field.path: _number(field, found) for field in declared.fields}
    models = {field.path: await _model(exchange, field, found) for field in declared.fields}
    answer = await exchange.ask(place.replace(body, completed(declared, models, numbers)))
    if answer.status < 300:
        await exchange.parts.registry.look()
    return await exchange.patched(answer, hide_in_error if answer.status >= 300 else _same)


async def _declared(exchange: Exchange, mapping: Mapping[str, Any]) -> Declared:
    parts = exchange.parts
    wanted = {
        str(definition.get(name) or parts.default_id)
        for definition in semantic_definitions(mapping)
        for name in ("inference_id", "search_inference_id")
    }
    known = {one for one in wanted if await parts.endpoints.find(one) is not None}
    native = await parts.registry.is_native()

    def is_ours(definition: Mapping[str, Any]) -> bool:
        ids = (definition.get("inference_id"), definition.get("search_inference_id"))
        return not native or any(one in known for one in ids)

    return declare(mapping, is_ours, parts.default_id)


async def _model(exchange: Exchange, field: Declaration, found: Found) -> ModelSettings | None:
    """The model whose vectors the field will hold; that of an existing field stays."""
    endpoint = await exchange.parts.endpoints.find(field.definition["inference_id"])
    registered = None if endpoint is None else _settings(endpoint, field)
    model = model_for(field, registered)
    for fields in found.values():
        before = fields.get(field.path)
        if before is not None and before.model is not None:
            _check_change(before, field, registered)
            model = before.model
    return model


def _settings(endpoint: InferenceEndpoint, field: Declaration) -> ModelSettings | None:
    if endpoint.task_type is TaskType.SPARSE_EMBEDDING:
        raise IllegalArgument(
            f"{TYPE} field [{field.path}] names the endpoint [{endpoint.inference_id}] of task "
            "[sparse_embedding]: the proxy supports [text_embedding] only"
        )
    if endpoint.task_type is not TaskType.TEXT_EMBEDDING:
        raise IllegalArgument(
            f"Invalid task_type in model_settings [{endpoint.task_type.value.upper()}]"
        )
    return model_settings_of(endpoint)


def _check_change(
    before: SemanticField, field: Declaration, registered: ModelSettings | None
) -> None:
    """Source: SemanticTextFieldMapper.Builder.merge."""
    new = field.definition["inference_id"]
    if new == before.inference_id or before.model is None:
        return
    if registered is None:
        raise IllegalArgument(
            f"Cannot update [{TYPE}] field [{field.path}] because inference endpoint [{new}] "
            "does not exist."
        )
    if before.seen and not registered.fits(before.model):
        raise IllegalArgument(
            f"Cannot update [{TYPE}] field [{field.path}] because inference endpoint "
            f"[{before.inference_id}] with model settings [{before.model.shown}] is not compatible "
            f"with new inference endpoint [{new}] with model settings [{registered.shown}]."
        )


def _number(field: Declaration, found: Found) -> int:
    """The number of the definition: the present one if it says the same, else the next."""
    before = [fields[field.path] for fields in found.values() if field.path in fields]
    if not before:
        return 1
    last = max(one.number for one in before)
    same = all(one.number == last and one.definition == field.definition for one in before)
    return last if same else last + 1


def _refuse_other_types(mapping: Mapping[str, Any], found: Found) -> None:
    """Whether a mapping declares a semantic field as something else."""
    for fields in found.values():
        for path in fields:
            declared = _at(mapping, path.split("."))
            if declared is not None and (kind := declared.get("type", "object")) != TYPE:
                raise IllegalArgument(
                    f"mapper [{path}] cannot be changed from type [{TYPE}] to [{kind}]"
                )


def _at(mapping: Any, names: list[str]) -> Mapping[str, Any] | None:
    """What a mapping says of the field of these names; None if nothing."""
    if not isinstance(mapping, Mapping):
        return None
    if not names:
        return mapping
    for section in ("properties", "fields"):
        children = mapping.get(section)
        if isinstance(children, Mapping):
            for length in range(1, len(names) + 1):
                child = children.get(".".join(names[:length]))
                if child is not None:
                    return _at(child, names[length:])
    return None


def _is_json(exchange: Exchange) -> bool:
    sent = exchange.rest.content_type
    return sent is None or sent.format == "json"


def _same(document: Any) -> Any:
    return document
