"""Requests that read documents: what the layer added to them stays out of sight.

The upstream is asked not to show it. Only where that cannot be asked for is an answer changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from aiohttp import web

from proxy.limits.deadline import Deadline
from proxy.semantic import layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.registry import Target
from proxy.semantic.searching import embedded, rewritten

_SOURCE_IN_URL: Final = (
    "_source",
    "_source_includes",
    "_source_excludes",
    "_source_exclude_vectors",
)


_SEARCH_TIME: Final = 30.0  # seconds that the texts of a search may take to be embedded


async def get_document(exchange: Exchange) -> web.StreamResponse:
    """One document, or its source alone."""
    found = await exchange.parts.registry.look_up(exchange.names["index"])
    if not found.fields:
        return await exchange.hand_on()
    return await exchange.hand_on_as(target=_with_excludes(exchange))


async def get_documents(exchange: Exchange) -> web.StreamResponse:
    """Several documents, each with a filter of its own perhaps. Source: MultiGetRequest."""
    body = await exchange.document()
    if not isinstance(body, dict) or not isinstance(body.get("docs"), list):
        return await exchange.hand_on_as(target=_with_excludes(exchange))
    docs = [
        {**doc, "_source": without_container(doc["_source"])}
        if isinstance(doc, dict) and "_source" in doc
        else doc
        for doc in body["docs"]
    ]
    return await exchange.hand_on_as(
        target=_with_excludes(exchange), body=orjson.dumps({**body, "docs": docs})
    )


def without_container(source: Any) -> Any:
    """A `_source` filter of a body that leaves out what the layer added."""
    match source:
        case None | True:
            return {"excludes": [layout.CONTAINER]}
        case False:
            return False
        case str() | list():
            return {"includes": source, "excludes": [layout.CONTAINER]}
        case {**filters}:
            name = "exclude" if "exclude" in filters else "excludes"
            return {**filters, name: [*_listed(filters.get(name)), layout.CONTAINER]}
    return source


def _with_excludes(exchange: Exchange) -> str:
    """The request's target with `xinf` among what it leaves out of the source."""
    parameters = dict(exchange.rest.parameters)
    if parameters.get("_source") == "false":
        return exchange.rest.target
    excludes = [*_parts(parameters.get("_source_excludes")), layout.CONTAINER]
    parameters["_source_excludes"] = ",".join(excludes)
    return f"{exchange.rest.path}?{urlencode(parameters)}"


def has_source_in_url(parameters: Mapping[str, str]) -> bool:
    """Whether the URL says what is shown of the source, and the body no more."""
    return any(name in parameters for name in _SOURCE_IN_URL)


async def search(exchange: Exchange) -> web.StreamResponse:
    """A search whose indices have semantic fields."""
    found = await exchange.parts.registry.look_up(exchange.names.get("index") or "_all")
    if not found.fields:
        return await exchange.hand_on()
    body = await exchange.document()
    if body is None and await exchange.read():
        return await exchange.hand_on()  # the upstream says what is wrong with it
    body = await rewritten_body(exchange, body or {}, found)
    shown = searchable(body, is_in_url=has_source_in_url(exchange.rest.parameters))
    target = exchange.unshaped_target()
    if has_source_in_url(exchange.rest.parameters):
        target = _with_excludes(exchange)
    answer = await exchange.ask(shown, target=target)
    if answer.status >= 300:
        return await exchange.patched(answer, hide_in_error)
    if layout.CONTAINER.encode() not in answer.body:
        return await exchange.as_is(answer)
    return await exchange.patched(answer, without_ours)


async def rewritten_body(
    exchange: Exchange, body: Mapping[str, Any], target: Target
) -> Mapping[str, Any]:
    """A search body whose queries any Elasticsearch takes. Raises: ProxyError."""
    size = exchange.rest.parameters.get("size", "")
    if size.isdecimal():
        body = {**body, "size": int(size)}
    needs = rewritten(body, target, None)
    if not needs.is_semantic and not needs.wanted:
        return body
    await exchange.parts.guard.check_search(exchange.request, target)
    deadline = Deadline.after(_SEARCH_TIME)
    vectors = await embedded(needs.wanted, exchange.parts.endpoints, deadline)
    return rewritten(body, target, vectors).body


def searchable(body: Mapping[str, Any], *, is_in_url: bool) -> dict[str, Any]:
    """A search body that shows nothing of ours; the body of a `top_hits` alike."""
    made = {key: _below(value) for key, value in body.items()}
    if not is_in_url:
        made["_source"] = without_container(body.get("_source"))
    return made


def _below(value: Any) -> Any:
    """A part of a search body, with the filters of the hits below it."""
    if isinstance(value, list):
        return [_below(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _hits(one) if key in ("top_hits", "inner_hits") else _below(one)
        for key, one in value.items()
    }


def _hits(value: Any) -> Any:
    if isinstance(value, list):
        return [_hits(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {**_below(value), "_source": without_container(value.get("_source"))}


def without_ours(document: Any) -> Any:
    """An answer's document without anything of ours that could not be asked away."""
    if isinstance(document, list):
        return [without_ours(one) for one in document]
    if isinstance(document, dict):
        return {
            key: without_ours(value)
            for key, value in document.items()
            if key != layout.CONTAINER and not key.startswith(f"{layout.CONTAINER}.")
        }
    return document


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _parts(value: str | None) -> Iterable[str]:
    return [part for part in (value or "").split(",") if part]
