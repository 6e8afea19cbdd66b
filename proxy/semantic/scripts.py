"""`_update` with a script: the upstream runs it, and what it has changed is embedded afterwards.

For a moment text and vectors do not belong together. If the new text cannot be embedded, the
document is put back as it was, and the update has failed as it would have in Elasticsearch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from proxy.ground.errors import ProxyError, StatusError, UpstreamUnavailable
from proxy.limits.deadline import Deadline
from proxy.semantic import layout
from proxy.semantic.answerjson import entries_of
from proxy.semantic.bulk import Guard, Item
from proxy.semantic.counting import reason_of
from proxy.semantic.documents import Place, raw_field, read_document
from proxy.semantic.embedding import Filler
from proxy.semantic.exchange import Exchange
from proxy.semantic.filling import FieldFilling, Filling, prepare
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.present import chunks_there, consider
from proxy.semantic.targets import WriteTarget
from proxy.semantic.writer import Entry, Refused, Writer, shown
from proxy.xcontent.writing import dump_json

_EMBEDDING: Final = 60.0  # seconds
_ATTEMPTS: Final = 3  # to write vectors to a document that others change, too
_NEEDS_READ: Final = (
    "an update with a script needs the privilege [read] where documents have fields of type "
    "[semantic_text], as what it makes of their texts is embedded"
)
_TOLD: Final = {"_seq_no", "_primary_term", "_source"}  # of a document that is there
_EMPTY: Final = b'{"doc":{}}'
_PLACE: Final = Place(end=len(_EMPTY) - 1, is_empty=True)


@dataclass(frozen=True, slots=True)
class _State:
    """A document at one moment."""

    guard: Guard
    source: bytes  # with vectors
    content: Mapping[str, Any]


async def update_by_script(
    exchange: Exchange, item: Item, target: WriteTarget, parameters: Mapping[str, str]
) -> Entry | Refused:
    """The answer to an update with a script, once what it has changed is embedded.

    `parameters` are those of `_bulk`. Raises: ProxyError.
    """
    return await _Scripted(exchange, item, target, parameters).run()


def _unread(status: int) -> ProxyError:
    """Why a script's update fails: nobody knows what of its text has to be embedded."""
    if status == 403:
        return StatusError(403, _NEEDS_READ)
    return UpstreamUnavailable(f"upstream node answered {status} to a read of the document")


async def _whole(work: Coroutine[Any, Any, Entry | Refused]) -> Entry | Refused:
    """What comes of work that is done to its end, although its caller may leave before.

    What a script has changed would keep the vectors of what it was.
    """
    running = asyncio.ensure_future(work)
    running.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class _Scripted:
    def __init__(
        self, exchange: Exchange, item: Item, target: WriteTarget, parameters: Mapping[str, str]
    ) -> None:
        self._exchange = exchange
        self._item = item
        self._target = target
        self._path = Writer(exchange, None, parameters).target(refreshes=True)
        self._meta: dict[str, Any] = {
            name: item.meta[name] for name in ("_index", "_id", "routing") if name in item.meta
        }

    async def run(self) -> Entry | Refused:
        before = await self._read()
        return await _whole(self._run(before))

    async def _run(self, before: _State | None) -> Entry | Refused:
        answer = await self._bulk(self._item.lines())
        if answer.status >= 300:
            return Refused(answer)
        entry = shown(entries_of(answer, 1)[0])
        if entry["update"].get("result") not in ("created", "updated"):
            return entry
        for _ in range(_ATTEMPTS):
            after = await self._read()
            if after is None:
                return entry
            written = await self._embed(before, after)
            if written is None:
                return entry
            if written["status"] < 300:
                new = {name: written[name] for name in ("_version", "_seq_no", "_primary_term")}
                return {"update": {**entry["update"], **new}}
        raise StatusError(409, "the document was changed again while its text was embedded")

    async def _embed(self, before: _State | None, after: _State) -> dict[str, Any] | None:
        """The answer to writing what a script's changes need; None if they need nothing."""
        item = await self._filled(before, after)
        if item.error is not None:
            await self._put_back(before, after)
            reason = reason_of(item.error.render(), item.error.status)
            self._exchange.parts.metrics.count_failure(reason)
            raise item.error
        if not item.is_filled:
            return None
        answer = await self._bulk(item.lines())
        if answer.status >= 300:
            raise StatusError(answer.status, "the changed text could not be given its vectors")
        (written,) = entries_of(answer, 1)[0].values()
        if written["status"] >= 300 and written["status"] != 409:
            raise StatusError(written["status"], "the changed text could not be given its vectors")
        found: dict[str, Any] = written
        return found

    async def _filled(self, before: _State | None, after: _State) -> Item:
        """An update that brings the vectors of all that has changed."""
        filler = Filler(self._exchange.parts.document_endpoints)
        fields = self._target.fields
        chunkers = await filler.chunkers(fields)
        filling = prepare(after.content, fields, chunkers)
        item = Item(
            action="update",
            meta=self._meta,
            action_line=b"",
            source=_EMPTY,
            fields=fields,
            chunkers=chunkers,
            filling=filling,
            place=_PLACE,
        )
        self._clear_removed(filling, after)
        if filling.error is None:
            container = {
                name: one for name, one in after.content.items() if name == layout.CONTAINER
            }
            was = {} if before is None else {**before.content, **container}
            document = {"found": before is not None, "_source": was}
            consider(item, {**document, "_seq_no": 0, "_primary_term": 0})
        item.guard = after.guard
        await filler.fill(item.fillings(), Deadline.after(_EMBEDDING))
        return item

    def _clear_removed(self, filling: Filling, after: _State) -> None:
        """Clear what a script has taken away."""
        for path, semantic in self._target.fields.items():
            there = {str(chunk.get("field")) for chunk in chunks_there(after.content, path)}
            present = filling.fields.get(path)
            removed = there - set(() if present is None else present.sources)
            if removed:
                one = filling.fields.setdefault(path, FieldFilling(semantic=semantic))
                one.sources.extend(sorted(removed))
                one.texts.update(dict.fromkeys(removed, ()))

    async def _put_back(self, before: _State | None, after: _State) -> None:
        """Undo what a script did, unless somebody else has changed the document since."""
        guard: dict[str, Any] = {
            "if_seq_no": after.guard.if_seq_no,
            "if_primary_term": after.guard.if_primary_term,
        }
        meta = {**self._meta, **guard}
        if before is None:
            await self._bulk(dump_json({"delete": meta}) + b"\n")
        else:
            meta["pipeline"] = "_none"
            await self._bulk(b"%b\n%b\n" % (dump_json({"index": meta}), before.source))

    async def _read(self) -> _State | None:
        """The document with its vectors; None if there is none. Raises: ProxyError."""
        index = quote(self._target.index or str(self._meta["_index"]), safe="")
        path = f"/{index}/_doc/{quote(str(self._meta['_id']), safe='')}"
        query = {"routing": self._meta["routing"]} if "routing" in self._meta else {}
        answer = await self._get(path, {**query, "_source_exclude_vectors": "false"})
        if (
            answer.status == 400
        ):  # before 9.2 vectors are not hidden, and there is no such parameter
            answer = await self._get(path, query)
        if answer.status == 404:
            return None
        document = read_document(answer.body) if answer.status == 200 else None
        if document is None or not document.content.keys() >= _TOLD:
            raise _unread(answer.status)
        found = document.content
        return _State(
            guard=Guard(if_seq_no=found["_seq_no"], if_primary_term=found["_primary_term"]),
            source=raw_field(answer.body, "_source"),
            content=found["_source"],
        )

    async def _get(self, path: str, query: Mapping[str, str]) -> UpstreamAnswer:
        target = f"{path}?{urlencode(query)}" if query else path
        upstream = self._exchange.parts.upstream
        return await upstream.ask_as_caller(self._exchange.request, "GET", target)

    async def _bulk(self, lines: bytes) -> UpstreamAnswer:
        upstream = self._exchange.parts.upstream
        return await upstream.ask_as_caller(self._exchange.request, "POST", self._path, lines)
