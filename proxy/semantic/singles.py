"""Single documents: each is sent as a bulk of one, whose item becomes the answer.

So their vectors can be marked as those of mapped fields only, and `_bulk` and these are one way.
Source: RestIndexAction, RestUpdateAction, TransportSingleItemBulkWriteAction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from proxy.ground.errors import ParseFailed
from proxy.rest.parameters import read_boolean
from proxy.semantic.bulk import Item, Window
from proxy.semantic.documents import one_line, read_document
from proxy.semantic.exchange import Exchange
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.ingest.running import run_pipelines
from proxy.semantic.models import writable_target
from proxy.semantic.scripts import update_by_script
from proxy.semantic.targets import WriteTarget, write_target
from proxy.semantic.writer import Entry, Refused, Writer
from proxy.xcontent.jsonreader import in_utf8
from proxy.xcontent.writing import dump_json

# Parameters of single documents that stand on an action line, by what they are.
_TEXTS: Final = ("routing", "version_type", "pipeline")
_NUMBERS: Final = ("if_seq_no", "if_primary_term", "version", "retry_on_conflict")
_BOOLEANS: Final = ("require_alias", "require_data_stream")
_SOURCE: Final = ("_source", "_source_includes", "_source_excludes")
_ON_LINE: Final = frozenset((*_TEXTS, *_NUMBERS, *_BOOLEANS, *_SOURCE, "op_type", "id"))
_NUMBER: Final = re.compile(r"[+-]?\d+")  # as Long.parseLong reads it, in digits of any script


async def put_document(exchange: Exchange) -> web.StreamResponse:
    """Index one document."""
    names, parameters = exchange.names, exchange.rest.parameters
    is_create = "_create" in exchange.rest.path.split("/")
    usual = "create" if is_create or "id" not in names else "index"
    action = (parameters.get("op_type") or usual).lower()
    if action != "create" and (is_create or action != "index"):
        return await exchange.hand_on()  # the upstream says what is wrong
    return await _single(exchange, action)


async def update_document(exchange: Exchange) -> web.StreamResponse:
    """Change one document."""
    return await _single(exchange, "update")


async def _single(exchange: Exchange, action: str) -> web.StreamResponse:
    registry = exchange.parts.registry
    target = await write_target(registry, exchange.names["index"])
    requested = exchange.rest.parameters.get("pipeline")
    is_concerned = target.concerns(requested, registry.snapshot.pipelines)
    meta = _meta(exchange, action) if is_concerned else None
    source = None if meta is None else await _json(exchange)
    if meta is None or not source:  # nothing of ours, or the upstream says what is wrong
        return await exchange.hand_on()
    item = Item(action=action, meta=meta, action_line=dump_json({action: meta}), source=source)
    parameters = _of_bulk(exchange.rest.parameters)
    if action == "update" and target.fields and _is_scripted(source):
        sent = await _scripted(exchange, item, target, parameters)
    else:
        sent = await _written(exchange, item, parameters)
    if isinstance(sent, Refused):
        return await exchange.patched(
            sent.answer, lambda one: _of_path(hide_in_error(one), exchange.rest.path)
        )
    (answer,) = sent.values()
    return await _as_single(exchange, answer)


async def _scripted(
    exchange: Exchange, item: Item, target: WriteTarget, parameters: Mapping[str, str]
) -> Entry | Refused:
    """An update with a script; its `upsert` goes through pipelines as any other document."""
    parts = exchange.parts
    if refusal := await parts.guard.refusal(exchange.request, "update", target, is_single=True):
        raise refusal
    target = await writable_target(exchange, exchange.names["index"])
    await run_pipelines(exchange, [(exchange.names["index"], target, item)], None)
    return item.answer or await update_by_script(exchange, item, target, parameters)


async def _written(
    exchange: Exchange, item: Item, parameters: Mapping[str, str]
) -> Entry | Refused:
    writer, window = Writer(exchange, None, parameters, is_single=True), Window([item])
    await writer.fill(window)
    sent = await writer.send(window, is_last=True)
    if isinstance(sent, list):
        writer.count(window, sent)
        exchange.passed_on = not writer.touched
    if item.error is not None:
        raise item.error
    return sent if isinstance(sent, Refused) else sent[0]


async def _as_single(exchange: Exchange, answer: dict[str, Any]) -> web.StreamResponse:
    """An item's answer as that of a single document."""
    status = answer.pop("status")
    if "error" in answer:
        error = answer["error"]
        root = {key: value for key, value in error.items() if key != "caused_by"}
        document = {"error": {"root_cause": [root], **error}, "status": status}
        return await exchange.made(status, document)
    if answer.get("result") == "noop":  # of which a bulk tells what its shard did all the same
        answer.pop("forced_refresh", None)
        answer["_shards"] = {"total": 0, "successful": 0, "failed": 0}
    if status != 201:
        return await exchange.made(status, answer)
    return await exchange.made(status, answer, Location=_location(answer, exchange.rest.parameters))


def _location(answer: Mapping[str, Any], parameters: Mapping[str, str]) -> str:
    """Where a new document is. Source: DocWriteResponse.getLocation."""
    index, name = quote(answer["_index"], safe=""), quote(answer["_id"], safe="")
    routing = parameters.get("routing")
    query = "" if routing is None else f"?routing={quote(routing, safe='')}"
    return f"/{index}/_doc/{name}{query}"


def _is_scripted(source: bytes) -> bool:
    document = read_document(source)
    return document is not None and "script" in document.content


async def _json(exchange: Exchange) -> bytes | None:
    """The document on one line; None for one that the upstream refuses."""
    data = await exchange.read()
    exchange.refuse_smile()
    sent = exchange.rest.content_type
    if sent is None or sent.format is None:
        return None
    if sent.format == "json":
        if b"\x00" in (data := in_utf8(data))[:4]:
            raise ParseFailed("the body is in no encoding of JSON")
        return one_line(data)
    content = await exchange.document()
    if not isinstance(content, dict):
        raise ParseFailed(f"the body is no object in the format [{sent.format}]")
    return dump_json(content)


def _meta(exchange: Exchange, action: str) -> dict[str, Any] | None:
    """The action line of a document; None for parameters that the upstream refuses."""
    parameters = exchange.rest.parameters
    if action == "update" and "pipeline" in parameters:
        return None
    meta: dict[str, Any] = {"_index": exchange.names["index"]}
    if (name := exchange.names.get("id", parameters.get("id"))) is not None:
        meta["_id"] = name
    meta |= {name: parameters[name] for name in _TEXTS if name in parameters}
    for name in _NUMBERS:
        if name in parameters:
            if not _NUMBER.fullmatch(parameters[name]):
                return None
            meta[name] = int(parameters[name])
    for name in _BOOLEANS:
        if name in parameters:
            meta[name] = read_boolean(parameters, name)
    if (filters := _source_filter(parameters)) is not None:
        meta["_source"] = filters
    return meta


def _source_filter(parameters: Mapping[str, str]) -> Any:
    """What an update shows of the document. Source: FetchSourceContext.parseFromRestRequest."""
    if not any(name in parameters for name in _SOURCE):
        return None
    shown = parameters.get("_source")
    includes = _listed(parameters.get("_source_includes"))
    excludes = _listed(parameters.get("_source_excludes"))
    if shown == "false":
        return False
    if shown not in (None, "", "true"):
        includes = _listed(shown)
    return {"includes": includes, "excludes": excludes} if includes or excludes else True


def _listed(value: str | None) -> list[str]:
    return [] if not value else value.split(",")


def _of_bulk(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are those of `_bulk`, and those that nothing knows."""
    return {name: text for name, text in parameters.items() if name not in _ON_LINE}


def _of_path(document: Any, path: str) -> Any:
    """An error's document that speaks of the path that was asked for."""
    if isinstance(document, str):
        return document.replace("[/_bulk]", f"[{path}]")
    if isinstance(document, list):
        return [_of_path(one, path) for one in document]
    if isinstance(document, dict):
        return {key: _of_path(one, path) for key, one in document.items()}
    return document
