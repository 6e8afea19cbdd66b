"""`_reindex` and `_update_by_query` where semantic fields have to be filled: loops of our own.

Elasticsearch would copy documents inside the cluster, where nothing could embed their texts.
Source: Reindexer, AbstractAsyncBulkByScrollAction, BulkByScrollResponse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web

from proxy.ground.errors import ActionRequestInvalid, IllegalArgument, StatusError
from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, with_sources
from proxy.semantic.bulk import Item, Window
from proxy.semantic.cutting import cut_out
from proxy.semantic.documents import one_line
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.hits import Hit, hits_with_sources, total_of
from proxy.semantic.inferencefields import inference_fields, shows_inference_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.searches import translated
from proxy.semantic.sourcefilters import filter_in_body
from proxy.semantic.targets import Pipelines, pipelines_of, write_target
from proxy.semantic.tasks import Task
from proxy.semantic.writer import Refused, Writer
from proxy.xcontent.javatext import java_scalar
from proxy.xcontent.writing import dump_json

_BATCH: Final = 1000  # documents of a page, as in Elasticsearch
_BATCH_WITH_VECTORS: Final = 100
_KEEP_ALIVE: Final = "5m"  # of the scroll, from one page to the next
_REINDEX: Final = "indices:data/write/reindex"
_UPDATE: Final = "indices:data/write/update/byquery"
_WHERE: Final = (
    "where documents have fields of type [semantic_text], or go through [inference] processors "
    "with an endpoint of the proxy"
)
_PARTIAL: Final = "[{failed}] of [{total}] shards could not be searched"
_NO_REMOTE: Final = f"[remote] is not possible {_WHERE}"
_NO_SCRIPT: Final = (
    f"[script] cannot run {_WHERE}: texts that it changed would keep the vectors of the old ones"
)
# Parameters of the URL that say which documents are meant. Source: RestUpdateByQueryAction.
_OF_SEARCH: Final = frozenset(
    (
        "allow_no_indices",
        "analyze_wildcard",
        "analyzer",
        "default_operator",
        "df",
        "expand_wildcards",
        "ignore_unavailable",
        "lenient",
        "preference",
        "q",
        "request_cache",
        "routing",
        "search_type",
        "terminate_after",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What is to be copied where. Documents of `source` that match `query`, `size` at a time."""

    source: str
    search: Mapping[str, Any]
    size: int
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the URL, for the search
    dest: str | None  # None updates each document where it is
    op_type: str = "index"
    pipeline: str | None = None
    routing: str = "keep"
    version_type: str | None = None
    max_docs: int | None = None
    proceeds: bool = False  # at conflicts
    per_second: float = -1.0  # documents; negative for no limit
    refresh: bool = False
    carried: Mapping[str, Fields] = field(default_factory=dict)  # with their vectors, by index


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a copy is."""

    total: int = 0
    created: int = 0
    updated: int = 0
    batches: int = 0
    version_conflicts: int = 0
    noops: int = 0
    throttled: float = 0.0  # seconds
    per_second: float = -1.0
    failures: list[Any] = field(default_factory=list)

    def status(self, *, updates: bool = False) -> dict[str, Any]:
        """As a task shows it. Source: BulkByScrollTask.Status."""
        counts = {"total": self.total, "updated": self.updated}
        if not updates:
            counts["created"] = self.created
        return {
            **counts,
            "deleted": 0,
            "batches": self.batches,
            "version_conflicts": self.version_conflicts,
            "noops": self.noops,
            "retries": {"bulk": 0, "search": 0},
            "throttled_millis": int(self.throttled * 1000),
            "requests_per_second": self.per_second,
            "throttled_until_millis": 0,
        }


async def reindex(exchange: Exchange) -> web.StreamResponse:
    """Copy documents from index to index; their semantic fields are filled anew.

    Only where `exclude_vectors` is false, their vectors are copied along.
    """
    exchange.refuse_smile()
    body = await exchange.document()
    if not isinstance(body, Mapping):
        return await exchange.hand_on()
    source, dest = body.get("source"), body.get("dest")
    if not isinstance(source, Mapping) or not isinstance(dest, Mapping):
        return await exchange.hand_on()
    names = source.get("index")
    if isinstance(names, list):
        names = ",".join(map(java_scalar, names))
    target = dest.get("index")
    if not isinstance(names, str) or not isinstance(target, str):
        return await exchange.hand_on()
    pipeline = dest.get("pipeline")
    if not await _is_concerned(exchange, names, target, pipeline, is_remote="remote" in source):
        return await exchange.hand_on()
    if "remote" in source:
        raise IllegalArgument(_NO_REMOTE)
    if "script" in body:
        raise IllegalArgument(_NO_SCRIPT)
    carried = await _carried(exchange, names, target, source.get("_source"))
    copy = Copy(
        source=names,
        search={key: value for key, value in source.items() if key in ("query", "sort", "_source")},
        size=_size(source.get("size", _BATCH_WITH_VECTORS if carried else _BATCH)),
        dest=target,
        op_type=str(dest.get("op_type", "index")),
        pipeline=pipeline,
        routing=str(dest.get("routing", "keep")),
        version_type=dest.get("version_type"),
        carried=carried,
        **_common(exchange, body),
    )
    return await _run(exchange, copy, _REINDEX, f"reindex from [{names}] to [{target}]")


async def update_by_query(exchange: Exchange) -> web.StreamResponse:
    """Write documents again where they are, so that their semantic fields are filled anew."""
    index = exchange.names["index"]
    pipeline = exchange.rest.parameters.get("pipeline")
    fields = (await exchange.parts.registry.look_up(index)).fields
    if not fields and not await _are_ingested(exchange, index, pipeline):
        return await exchange.hand_on()
    exchange.refuse_smile()
    body = await exchange.document() if await exchange.read() else {}
    if not isinstance(body, Mapping):
        return await exchange.hand_on()
    if "script" in body:
        raise IllegalArgument(_NO_SCRIPT)
    copy = Copy(
        source=index,
        search={key: value for key, value in body.items() if key in ("query", "sort")},
        size=_size(exchange.rest.parameters.get("scroll_size", _BATCH)),
        dest=None,
        parameters={
            name: text for name, text in exchange.rest.parameters.items() if name in _OF_SEARCH
        },
        pipeline=pipeline,
        **_common(exchange, body),
    )
    return await _run(exchange, copy, _UPDATE, f"update-by-query [{index}]")


async def _is_concerned(
    exchange: Exchange, source: str, dest: str, pipeline: Any, *, is_remote: bool
) -> bool:
    registry = exchange.parts.registry
    target = await write_target(registry, dest)
    if target.concerns(pipeline, registry.snapshot.pipelines):
        return True
    return not is_remote and bool((await registry.look_up(source)).fields)


async def _carried(
    exchange: Exchange, source: str, dest: str, filter: Any
) -> dict[str, dict[str, SemanticField]]:
    """The fields whose vectors are to be copied: those that the destination has, too."""
    if not await shows_inference_fields(filter_in_body(filter), exchange.parts.release):
        return {}
    registry = exchange.parts.registry
    there = (await write_target(registry, dest)).fields
    return {
        index: {path: one for path, one in fields.items() if path in there}
        for index, fields in (await registry.look_up(source)).fields.items()
    }


async def _are_ingested(exchange: Exchange, indices: str, pipeline: Any) -> bool:
    """Whether documents of any of these indices go through a pipeline of ours if written again."""
    registry = exchange.parts.registry
    ours = await registry.pipelines()
    if not ours:
        return False
    found = await registry.cluster.settings(indices)
    listed = [*map(pipelines_of, found.values()), Pipelines()]  # of those that have none
    return any(pipelines.for_request(pipeline).concern(ours) for pipelines in listed)


def _common(exchange: Exchange, body: Mapping[str, Any]) -> dict[str, Any]:
    parameters = exchange.rest.parameters
    most = body.get("max_docs", parameters.get("max_docs"))
    conflicts = body.get("conflicts", parameters.get("conflicts", "abort"))
    if conflicts not in ("abort", "proceed"):
        raise IllegalArgument(f'conflicts may only be "proceed" or "abort" but was [{conflicts}]')
    return {
        "max_docs": None if most is None else _size(most),
        "proceeds": conflicts == "proceed",
        "per_second": _rate(parameters.get("requests_per_second", "-1")),
        "refresh": parameters.get("refresh") in ("", "true"),
    }


def _size(value: Any) -> int:
    try:
        size = int(value)
    except (TypeError, ValueError):
        raise IllegalArgument(f"[size] must be a number, got [{value}]") from None
    if not 0 < size <= 10_000:
        raise ActionRequestInvalid([f"size should be between 1 and 10000 but was [{size}]"])
    return size


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if rate == 0.0:
        raise IllegalArgument(
            "[requests_per_second] must be a float greater than 0. Use -1 to disable throttling."
        )
    return rate if rate > 0 else -1.0


async def _run(exchange: Exchange, copy: Copy, action: str, description: str) -> web.StreamResponse:
    progress = Progress(per_second=copy.per_second)
    updates = copy.dest is None

    async def work(task: Task) -> dict[str, Any]:
        return await _copied(exchange, copy, progress, task)

    is_behind = exchange.rest.parameters.get("wait_for_completion") == "false"
    task = await exchange.parts.tasks.begin(
        action,
        description,
        lambda: progress.status(updates=updates),
        work,
        is_behind=is_behind,
    )
    if is_behind:
        return await exchange.made(200, {"task": task.id})
    try:
        await exchange.parts.tasks.wait(task, float("inf"))
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.error is not None:
        raise task.error
    response = task.response or {}
    failed = [one.get("status", 500) for one in response["failures"]]
    return await exchange.made(max(failed, default=200), response)


async def _copied(exchange: Exchange, copy: Copy, progress: Progress, task: Task) -> dict[str, Any]:
    started = monotonic()
    writer = Writer(exchange, None, {})
    async with aclosing(_pages(exchange, copy, progress)) as pages:
        async for page in pages:
            begun = monotonic()
            window = Window([_item(hit, copy) for hit in page])
            await _write(writer, window, progress, copy)
            progress.batches += 1
            if progress.failures and not copy.proceeds:
                break
            if copy.per_second > 0:
                pause = max(0.0, len(page) / copy.per_second - (monotonic() - begun))
                progress.throttled += pause
                await task.pause(pause)
            if task.is_cancelled:
                break
    if copy.refresh:
        index = quote(copy.dest or copy.source, safe="*,")
        await exchange.ask(target=f"/{index}/_refresh", method="POST")
    status = progress.status(updates=copy.dest is None)
    response = {
        "took": int((monotonic() - started) * 1000),
        "timed_out": False,
        **status,
        "failures": progress.failures,
    }
    if task.is_cancelled:
        response["canceled"] = "by user request"
    return response


async def _pages(
    exchange: Exchange, copy: Copy, progress: Progress
) -> AsyncGenerator[list[Hit], None]:
    """The documents, page by page, by a scroll that is closed at the end."""
    left = copy.max_docs
    body = {
        "sort": ["_doc"],
        **await translated(exchange, copy.source, copy.search, copy.size),
        "size": copy.size,
        "version": True,
        "seq_no_primary_term": True,
        "_source": await _filter(exchange, copy),
        "track_total_hits": True,
    }
    parameters = urlencode({**copy.parameters, "scroll": _KEEP_ALIVE})
    path = f"/{quote(copy.source, safe='*,<>{}')}/_search?{parameters}"
    answer, hits = await _page(await exchange.ask(body, target=path, method="POST"), copy)
    total = total_of(answer)
    progress.total = total if left is None else min(total, left)
    scroll = answer.get("_scroll_id")
    try:
        _check_shards(answer)
        while hits:
            if left is not None:
                hits = hits[:left]
                left -= len(hits)
            yield hits
            if left == 0:
                return
            again = {"scroll": _KEEP_ALIVE, "scroll_id": scroll}
            found = await exchange.ask(again, target="/_search/scroll", method="POST")
            answer, hits = await _page(found, copy)
            scroll = answer.get("_scroll_id", scroll)
            _check_shards(answer)
    finally:
        if scroll is not None:
            await exchange.ask({"scroll_id": scroll}, target="/_search/scroll", method="DELETE")


async def _filter(exchange: Exchange, copy: Copy) -> Any:
    """The user's own filter, with the user's own vectors, and without ours, if not asked for.

    What is filtered is written anew by the upstream, which changes numbers such as 1e400. So where
    there is nothing to leave out, no filter is sent.
    """
    given = filter_in_body(copy.search.get("_source"))
    if given is None or given.source is False:
        return copy.search.get("_source")
    hides = await exchange.parts.release.hides_vectors()
    if copy.carried:
        return given.for_upstream(shows=True, hides_vectors=hides)
    excludes = [*given.excludes]
    if (await exchange.parts.registry.look_up(copy.source)).fields:
        excludes.append(layout.CONTAINER)
    made: dict[str, Any] = dict(given.others)
    if given.includes:
        made["includes"] = list(given.includes)
    if excludes:
        made["excludes"] = excludes
    if given.exclude_vectors is not None:
        made["exclude_vectors"] = given.exclude_vectors
    elif hides:
        made["exclude_vectors"] = False
    return made or True


async def _page(answer: UpstreamAnswer, copy: Copy) -> tuple[dict[str, Any], list[Hit]]:
    """A page of a scroll, and its documents. Raises: StatusError, UpstreamBroken."""

    def read() -> tuple[dict[str, Any], list[bytes]]:
        body = answer.body
        if copy.carried:
            body = cut_out(body, inference_fields(copy.carried))
        return with_sources(body, answer.status)

    document, sources = await offload(len(answer.body), AT_ONCE, read)
    if answer.status >= 300:
        reason = error.get("reason") if isinstance(error := document.get("error"), dict) else error
        failure = StatusError(answer.status, str(hide_in_error(reason)))
        if isinstance(error, dict) and isinstance(error.get("type"), str):
            failure.type = error["type"]
        raise failure
    return document, hits_with_sources(document, sources)


def _check_shards(answer: Mapping[str, Any]) -> None:
    """Raises: StatusError where not all shards have answered, as no document is left out."""
    if (shards := answer.get("_shards", {})).get("failed"):
        raise StatusError(503, _PARTIAL.format(**shards))


def _item(hit: Hit, copy: Copy) -> Item:
    """A document as an item of a bulk."""
    about = hit.about
    meta: dict[str, Any] = {"_index": copy.dest or about["_index"], "_id": hit.id}
    action = "create" if copy.op_type == "create" else "index"
    if copy.dest is None:
        meta |= {"if_seq_no": about["_seq_no"], "if_primary_term": about["_primary_term"]}
    elif copy.version_type not in (None, "internal"):
        meta |= {"version": about["_version"], "version_type": copy.version_type}
    routing = hit.routing
    if copy.routing.startswith("="):
        routing = copy.routing[1:]
    if routing is not None and copy.routing != "discard":
        meta["routing"] = routing
    if copy.pipeline is not None:
        meta["pipeline"] = copy.pipeline
    return Item(
        action=action,
        meta=meta,
        action_line=dump_json({action: meta}),
        source=one_line(hit.source),
    )


async def _write(writer: Writer, window: Window, progress: Progress, copy: Copy) -> None:
    await writer.fill(window)
    entries = await writer.send(window, is_last=False)
    if isinstance(entries, Refused):
        entries = window.answers(writer.refusals(window.sent(), entries.answer), copy.dest or "")
    writer.count(window, entries)
    for entry in entries:
        _count(next(iter(entry.values())), progress, copy)


def _count(entry: Mapping[str, Any], progress: Progress, copy: Copy) -> None:
    if "error" not in entry:
        progress.created += entry.get("result") == "created"
        progress.updated += entry.get("result") == "updated"
        progress.noops += entry.get("result") == "noop"
        return
    if entry["status"] == 409:
        progress.version_conflicts += 1
        if copy.proceeds:
            return
    progress.failures.append(
        {
            "index": entry["_index"],
            "id": entry["_id"],
            "cause": entry["error"],
            "status": entry["status"],
        }
    )
