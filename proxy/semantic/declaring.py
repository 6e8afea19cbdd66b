"""Requests that declare fields: indices, mappings, templates.

A body without a semantic field of ours goes upstream byte for byte.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.semantic.declarations import Declared, declare, semantic_definitions
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import TYPE
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.mappings import declared_everywhere
from proxy.semantic.redefining import Present, mapping_for, present_fields

_WORDS: Final = (TYPE.encode(), b"use_legacy_format", b"\\u")
_ATTEMPTS: Final = 20  # at a definition that another proxy changes at the same time
_LEGACY: Final = "index.mapping.semantic_text.use_legacy_format"

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where mappings and settings stand in a body: the keys that lead to what holds them both."""

    keys: tuple[str, ...] = ()
    is_mapping: bool = False  # the body is a mapping itself
    composed: bool = False  # Elasticsearch tells errors as those of a composed template

    def mapping(self, body: Any) -> Mapping[str, Any] | None:
        """The mapping; None if there is none."""
        found = self._holder(body)
        if not self.is_mapping:
            found = found.get("mappings") if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None

    def settings(self, body: Any) -> Any:
        """The settings of an index; None if there are none."""
        holder = self._holder(body)
        return (
            None if self.is_mapping or not isinstance(holder, Mapping) else holder.get("settings")
        )

    def replace(self, body: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
        """The body with another mapping."""
        return _replaced(body, self.keys if self.is_mapping else (*self.keys, "mappings"), mapping)

    def _holder(self, body: Any) -> Any:
        for key in self.keys:
            body = body.get(key) if isinstance(body, Mapping) else None
        return body


def _replaced(body: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    if not keys:
        return dict(value)
    return {**body, keys[0]: _replaced(body[keys[0]], keys[1:], value)}


OF_INDEX: Final = Place()
OF_COMPONENT: Final = Place(("template",))
OF_TEMPLATE: Final = Place(("template",), composed=True)
ITSELF: Final = Place(is_mapping=True)


def declaring(place: Place) -> Handler:
    """The handler of a request that creates something with the mapping in that place."""

    async def handle(exchange: Exchange) -> web.StreamResponse:
        try:
            body = await _translated(exchange, place, {})
        except ProxyError as error:
            raise _composed(exchange, error) if place.composed else error from None
        if body is None:
            return await exchange.hand_on()
        return await _answered(exchange, await exchange.ask(body))

    return handle


def simulating(place: Place) -> Handler:
    """The handler of a request that declares nothing, but shows what would be declared."""

    async def handle(exchange: Exchange) -> web.StreamResponse:
        body = await _translated(exchange, place, {})
        if body is None:
            return await exchange.shown(declared_everywhere)
        return await exchange.repaired(await exchange.ask(body), declared_everywhere)

    return handle


async def put_mapping(exchange: Exchange) -> web.StreamResponse:
    """Add fields to indices, some of which may have semantic fields already."""
    for attempt in range(1, _ATTEMPTS + 1):
        present = await present_fields(exchange)
        body = await _translated(exchange, ITSELF, present)
        if body is None:
            return await exchange.hand_on()
        answer = await exchange.ask(body)
        if attempt == _ATTEMPTS or not _was_overtaken(answer.body):
            break
    return await _answered(exchange, answer)


def _was_overtaken(body: bytes) -> bool:
    """Whether another proxy has given a field its next definition at the same time."""
    return b"conflicts with existing mapper" in body and b"[null_value]" in body


async def _answered(exchange: Exchange, answer: Any) -> web.StreamResponse:
    if answer.status >= 300:
        return await exchange.patched(answer, hide_in_error)
    return await exchange.as_is(answer)


async def _translated(
    exchange: Exchange, place: Place, present: Mapping[str, Present]
) -> dict[str, Any] | None:
    """The body with its semantic fields made into others; None where it declares none of ours.

    `present` has the indices that exist already.
    """
    data = await exchange.read()
    concerned = any(one.mapping_of_ours for one in present.values())
    if not concerned and _is_json(exchange) and not any(word in data for word in _WORDS):
        return None
    body = await exchange.document()
    if _is_legacy(place.settings(body)) and not await exchange.parts.registry.is_native():
        raise IllegalArgument(f"[{_LEGACY}] is not supported, only the format that replaced it is")
    mapping = place.mapping(body)
    declared = None if mapping is None else await _declared(exchange, mapping, present)
    if declared is None:
        return None
    made = await mapping_for(exchange.parts, declared, present)
    return place.replace(body, made)


async def _declared(
    exchange: Exchange, mapping: Mapping[str, Any], present: Mapping[str, Present]
) -> Declared | None:
    parts = exchange.parts
    for index in present.values():
        index.refuse_other_types(mapping)
    definitions = list(semantic_definitions(mapping))
    wanted = {
        str(definition.get(name) or parts.default_id)
        for definition in definitions
        for name in ("inference_id", "search_inference_id")
    }
    if not definitions:
        return None
    known = {one for one in wanted if await parts.endpoints.find(one) is not None}
    native = await parts.registry.is_native()

    def is_ours(definition: Mapping[str, Any]) -> bool:
        ids = (
            definition.get("inference_id") or parts.default_id,
            definition.get("search_inference_id"),
        )
        return not native or any(one in known for one in ids)

    def default_id(path: str) -> str | None:
        found = [index.fields[path] for index in present.values() if path in index.fields]
        return found[0].inference_id if found else parts.default_id

    declared = declare(mapping, is_ours, default_id)
    if not declared.fields:
        return None
    await parts.release.require_fields()
    return declared


def _composed(exchange: Exchange, error: ProxyError) -> ProxyError:
    """How Elasticsearch tells what is wrong with the mapping of a composable template."""
    name = exchange.names["name"]
    within = IllegalArgument(f"invalid composite mappings for [{name}]", cause=error)
    return IllegalArgument(
        f"composable template [{name}] template after composition is invalid", cause=within
    )


def _is_legacy(settings: Any) -> bool:
    """Whether settings ask for the format of 8.17; keys may be nested, or written with dots."""
    flat = dict(_flat(settings, ""))
    value = flat.get(_LEGACY, flat.get(_LEGACY.removeprefix("index.")))
    return value in (True, "true")


def _flat(settings: Any, path: str) -> Any:
    if not isinstance(settings, Mapping):
        yield path, settings
        return
    for name, value in settings.items():
        yield from _flat(value, f"{path}.{name}" if path else name)


def _is_json(exchange: Exchange) -> bool:
    sent = exchange.rest.content_type
    return sent is None or sent.format == "json"
