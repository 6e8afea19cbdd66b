"""Runs ingest pipelines before texts are embedded, as Elasticsearch does.

The upstream simulates them; what they make of a document is then written without a pipeline. A
final pipeline cannot be left out: its outcome is looked at only, and the upstream runs it again.
Source: IngestService, SimulateExecutionService.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import IllegalArgument, ProxyError, StatusError
from proxy.limits.threads import offload
from proxy.semantic.bulk import Item, new_id
from proxy.semantic.documents import read_document, read_json
from proxy.semantic.exchange import AT_ONCE, Exchange
from proxy.semantic.targets import Pipelines

_NONE: Final = "_none"
_UNSET: Final = "_id"  # what a simulated document without an identifier has
_BAD_REQUESTS: Final = ("illegal_argument_exception", "script_exception", "parse_exception")


async def run_pipelines(
    exchange: Exchange, items: Sequence[tuple[Pipelines, Item]], requested: str | None
) -> list[Item]:
    """Run what items ask for, or else `requested`, or what their index asks for.

    Returns those that go elsewhere now. Raises: UpstreamError.
    """
    by_name: dict[str, list[Item]] = {}
    final: dict[str, list[Item]] = {}
    for pipelines, item in items:
        if item.action not in ("index", "create") or item.source is None:
            continue
        name = item.meta.get("pipeline") or requested or pipelines.default or _NONE
        if name != _NONE:
            by_name.setdefault(str(name), []).append(item)
        if pipelines.final is not None:
            final.setdefault(pipelines.final, []).append(item)
    moved = []
    for name, group in by_name.items():
        moved.extend(await _run(exchange, name, group))
    for name, group in final.items():
        await _look_ahead(exchange, name, [item for item in group if item.is_sent])
    return moved


async def _run(exchange: Exchange, name: str, items: Sequence[Item]) -> list[Item]:
    readable, results = await _simulated(exchange, name, items)
    moved = []
    for item, result in zip(readable, results, strict=True):
        index = item.index or exchange.names.get("index") or ""
        match result:
            case None | {"doc": None}:
                item.answer = _dropped(item, index)
            case {"doc": {"_source": source, **meta}}:
                if _becomes(item, source, meta, index):
                    moved.append(item)
            case {"error": {**error}}:
                status = 400 if error.get("type") in _BAD_REQUESTS else 500
                error.pop("root_cause", None)
                item.answer = item.refused(index, status, error)
    return moved


async def _look_ahead(exchange: Exchange, name: str, items: Sequence[Item]) -> None:
    readable, results = await _simulated(exchange, name, items)
    for item, result in zip(readable, results, strict=True):
        match result:
            case {"doc": {"_source": source}}:
                item.seen = orjson.dumps(source)
            case _:
                item.fields = {}  # it will fail upstream, too, or be dropped


async def _simulated(
    exchange: Exchange, name: str, items: Sequence[Item]
) -> tuple[list[Item], list[Any]]:
    """What a pipeline makes of those items that can be read. Others fail upstream."""
    readable, docs = [], []
    for item in items:
        document = None if item.source is None else read_document(item.source)
        if document is not None and item.source is not None:
            readable.append(item)
            docs.append(_question(item, item.source[: document.place.end], exchange))
    if not docs:
        return [], []
    body = b'{"docs":[%b]}' % b",".join(docs)
    path = f"/_ingest/pipeline/{quote(name, safe='')}/_simulate"
    upstream = exchange.parts.upstream
    answer = await upstream.ask_as_caller(exchange.request, "POST", path, body)
    if answer.status == 403:  # writing does not ask for the privilege to simulate
        answer = await upstream.ask_as_proxy("POST", path, body)
    if answer.status == 200:
        found = await offload(len(answer.body), AT_ONCE, lambda: read_json(answer.body))
        return readable, found["docs"]
    problem = _problem(name, answer.status, answer.body)
    for item in readable:
        item.failure = problem
    return [], []


def _question(item: Item, source: bytes, exchange: Exchange) -> bytes:
    meta: dict[str, Any] = {"_index": item.index or exchange.names.get("index")}
    if item.id is not None:
        meta["_id"] = item.id
    if "routing" in item.meta:
        meta["_routing"] = item.meta["routing"]
    return b'%b,"_source":%b}' % (orjson.dumps(meta)[:-1], source)


def _becomes(item: Item, source: Any, meta: Any, index: str) -> bool:
    """Make an item what a pipeline made of it; whether it goes elsewhere now."""
    made: dict[str, Any] = {**item.meta, "pipeline": _NONE}
    if (new_index := meta.get("_index")) is not None and new_index != index:
        made["_index"] = new_index
    if meta.get("_id") not in (None, _UNSET):
        made["_id"] = meta["_id"]
    if meta.get("_routing") is not None:
        made["routing"] = meta["_routing"]
    item.meta = made
    item.action_line = orjson.dumps({item.action: made})
    item.source = orjson.dumps(source)
    return "_index" in made and made["_index"] != index


def _dropped(item: Item, index: str) -> dict[str, Any]:
    """The answer to a document that a pipeline has dropped. Source: UpdateResponse.notFound."""
    return {
        item.action: {
            "_index": index,
            "_id": item.id or new_id(),
            "_version": -3,
            "result": "noop",
            "_shards": {"total": 0, "successful": 0, "failed": 0},
            "_seq_no": -2,
            "_primary_term": 0,
            "status": 200,
        }
    }


def _problem(name: str, status: int, body: bytes) -> ProxyError:
    if status in (400, 404) and b"does not exist" in body:
        return IllegalArgument(f"pipeline with id [{name}] does not exist")
    return StatusError(
        status if status >= 400 else 502,
        f"the pipeline [{name}] could not be run before texts are embedded: the upstream answered "
        f"[{status}] when asked to simulate it",
    )
