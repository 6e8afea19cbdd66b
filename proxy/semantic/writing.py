"""Requests that write documents: their semantic fields are filled on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from proxy.errors import ProxyError, StatusError
from proxy.limits.deadline import Deadline
from proxy.limits.memory import part_of_request
from proxy.limits.threads import offload
from proxy.semantic.bulk import Item, Unreadable, Window, prepare_all, windows
from proxy.semantic.exchange import AT_ONCE, Exchange
from proxy.semantic.filling import Chunkers, Filler, Filling
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.models import writable_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.registry import Fields

_WINDOW: Final = 1024 * 1024  # bytes of a body that are worked through at once
_EMBEDDING: Final = 60.0  # seconds that the texts of a window may take
# Parameters of single documents that stand on an action line, some under another name.
_OF_DOCUMENT: Final = {
    "routing": "routing",
    "if_seq_no": "if_seq_no",
    "if_primary_term": "if_primary_term",
    "version": "version",
    "version_type": "version_type",
    "pipeline": "pipeline",
    "require_alias": "require_alias",
    "require_data_stream": "require_data_stream",
    "retry_on_conflict": "retry_on_conflict",
    "_source": "_source",
    "_source_includes": "_source_includes",
    "_source_excludes": "_source_excludes",
}
_OF_BULK: Final = ("refresh", "timeout", "wait_for_active_shards", "include_source_on_error")


class Writer:
    """Works through the items of one caller's request."""

    def __init__(self, exchange: Exchange, index: str | None, *, is_single: bool = False) -> None:
        self._exchange = exchange
        self._index = index
        self._is_single = is_single
        self._filler = Filler(exchange.parts.endpoints)
        self._known: dict[str, tuple[Fields, Chunkers]] = {}
        self._refusals: dict[tuple[str, str], ProxyError | None] = {}

    async def fill(self, window: Window) -> None:
        """Put vectors where semantic fields need them; what fails is its item's error."""
        for item in window.items:
            index = item.index or self._index
            if index is not None and item.action != "delete":
                if (error := await self._refusal(item.action, index)) is not None:
                    item.filling = Filling(error=error)
                else:
                    item.fields, item.chunkers = await self._fields_of(index)
        concerned = [item for item in window.items if item.fields]
        if not concerned:
            return
        size = sum(len(item.source or b"") for item in concerned)
        await offload(size, AT_ONCE, lambda: prepare_all(concerned))
        fillings = [item.filling for item in concerned if item.filling is not None]
        await self._filler.fill(fillings, Deadline.after(_EMBEDDING))

    async def _fields_of(self, index: str) -> tuple[Fields, Chunkers]:
        if index not in self._known:
            fields = await writable_fields(self._exchange, index)
            self._known[index] = fields, await self._filler.chunkers(fields)
        return self._known[index]

    async def _refusal(self, action: str, index: str) -> ProxyError | None:
        """Why the caller may not write there, asked before anything is embedded or mapped."""
        if (action, index) not in self._refusals:
            parts = self._exchange.parts
            target = await parts.registry.write_target(index)
            self._refusals[action, index] = (
                await parts.guard.refusal(
                    self._exchange.request, action, target, is_single=self._is_single
                )
                if target.fields
                else None
            )
        return self._refusals[action, index]

    async def send(self, window: Window, *, is_last: bool) -> UpstreamAnswer | None:
        """The upstream's answer to what is left of a window; None where nothing is."""
        if not window.sent():
            return None
        size = sum(len(item.source or b"") for item in window.items)
        body = await offload(size, AT_ONCE, window.body)
        target = self._target(refreshes=is_last)
        return await self._exchange.parts.upstream.ask_as_caller(
            self._exchange.request, "POST", target, body
        )

    def _target(self, *, refreshes: bool) -> str:
        parameters = dict(self._exchange.rest.parameters)
        for name in ("filter_path", "pretty", "human", "format"):
            parameters.pop(name, None)
        if not refreshes:
            parameters.pop("refresh", None)
        query = urlencode(parameters)
        path = "/_bulk" if self._index is None else f"/{quote(self._index, safe='')}/_bulk"
        return path + (f"?{query}" if query else "")


async def bulk(exchange: Exchange) -> web.StreamResponse:
    """Any number of documents; each has an answer of its own."""
    started = monotonic()
    index = exchange.names.get("index")
    writer = Writer(exchange, index)
    items: list[Any] = []
    async with aclosing(windows(exchange.pieces(), _WINDOW)) as coming:
        window = await _next(coming)
        while window is not None:
            with part_of_request():
                await writer.fill(window)
                following = await _next(coming)
                answer = await writer.send(window, is_last=following is None)
            if answer is not None and answer.status >= 300 and not items and following is None:
                return await exchange.patched(answer, hide_in_error)
            items.extend(_answers(window, answer, index or ""))
            window = following
    errors = any("error" in entry for one in items for entry in one.values())
    took = int((monotonic() - started) * 1000)
    document = {"errors": errors, "took": took, "items": items}
    return await exchange.made(200, document)


async def _next(coming: AsyncGenerator[Window, None]) -> Window | None:
    try:
        return await anext(coming, None)
    except Unreadable:
        raise StatusError(400, "the body is no _bulk") from None


def _answers(window: Window, answer: UpstreamAnswer | None, index: str) -> list[Any]:
    if answer is None:
        return window.answers([], index)
    document = orjson.loads(answer.body)
    if answer.status < 300:
        return window.answers(hide_in_error(document["items"]), index)
    error = hide_in_error(document.get("error"))
    failed = [
        {
            item.action: {
                "_index": item.index or index,
                "_id": item.meta.get("_id"),
                "status": answer.status,
                "error": error,
            }
        }
        for item in window.sent()
    ]
    return window.answers(failed, index)


async def put_document(exchange: Exchange) -> web.StreamResponse:
    """Index one document, as a bulk of one whose item becomes the answer."""
    names, parameters = exchange.names, exchange.rest.parameters
    action = "create" if "_create" in exchange.rest.path.split("/") else "index"
    if parameters.get("op_type") == "create":
        action = "create"
    return await _single(exchange, action, names["index"], names.get("id"))


async def update_document(exchange: Exchange) -> web.StreamResponse:
    """Change one document."""
    return await _single(exchange, "update", exchange.names["index"], exchange.names["id"])


async def _single(
    exchange: Exchange, action: str, index: str, document_id: str | None
) -> web.StreamResponse:
    if not (await exchange.parts.registry.write_target(index)).fields:
        return await exchange.hand_on()
    data = await exchange.read()
    item = Item(
        action=action,
        meta=_meta(exchange.rest.parameters, index, document_id),
        action_line=b"",
        source=b" ".join(data.splitlines()),
    )
    item.action_line = orjson.dumps({action: item.meta})
    window = Window([item])
    await Writer(exchange, index, is_single=True).fill(window)
    if item.error is not None:
        raise item.error
    if item.filling is None or not item.filling.touched:
        return await exchange.hand_on()
    query = urlencode({k: v for k, v in exchange.rest.parameters.items() if k in _OF_BULK})
    answer = await exchange.parts.upstream.ask_as_caller(
        exchange.request, "POST", f"/_bulk?{query}", window.body()
    )
    if answer.status >= 300:
        return await exchange.patched(answer, hide_in_error)
    return await _as_single(exchange, orjson.loads(answer.body)["items"][0][action])


async def _as_single(exchange: Exchange, entry: dict[str, Any]) -> web.Response:
    """An item's answer as that of a single document."""
    status = entry.pop("status")
    if "error" not in entry:
        return await exchange.made(status, entry)
    error = hide_in_error(entry["error"])
    root = {key: value for key, value in error.items() if key != "caused_by"}
    return await exchange.made(status, {"error": {"root_cause": [root], **error}, "status": status})


def _meta(parameters: Mapping[str, str], index: str, document_id: str | None) -> dict[str, Any]:
    meta: dict[str, Any] = {"_index": index}
    if document_id is not None:
        meta["_id"] = document_id
    for name, key in _OF_DOCUMENT.items():
        if name in parameters:
            meta[key] = parameters[name]
    return meta
