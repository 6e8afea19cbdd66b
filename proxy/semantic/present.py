"""What an update finds in the document that it changes.

An update of some of a field's sources must keep the chunks of the others, and one that changes no
text must not embed it again. Whatever is written because of what was read is guarded: if the
document has changed meanwhile, Elasticsearch answers with a conflict, and all is done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from proxy.ground.errors import ProxyError, StatusError, UpstreamUnavailable
from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, items_of
from proxy.semantic.bulk import Guard, Item
from proxy.semantic.exchange import Exchange
from proxy.semantic.filling import Chunk, FieldFilling, all_sources, chunks_of
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.values import texts_there
from proxy.xcontent.writing import dump_json

_NEEDS_READ: Final = (
    "Field [{path}] is made of several fields: an update of some of them needs the privilege "
    "[read], as what is there of the others must be kept"
)
_NOT_READ: Final = (
    "Field [{path}] is made of several fields: an update of some of them must keep what is there "
    "of the others, which could not be read: [{type}]"
)
_UNCLEAR: Final = "unclear_answer"  # as of a gateway
_NO_INDEX: Final = "index_not_found_exception"


def needs_present(item: Item) -> bool:
    """Whether an item depends on what is there, and it can be looked for."""
    return item.relies and item.id is not None and item.error is None


async def consider_present(exchange: Exchange, items: Sequence[tuple[str, Item]]) -> None:
    """Leave out of updates what is there, and keep what they do not touch.

    `items` are those that need it, with the concrete index of each. Raises: UpstreamError.
    """
    found = await _read(exchange, items)
    for (_, item), document in zip(items, found, strict=True):
        if item.error is None:
            consider(item, document)


async def _read(exchange: Exchange, items: Sequence[tuple[str, Item]]) -> list[Any]:
    """The documents in order, with vectors; None for those that cannot be read."""
    includes = {
        name
        for _, item in items
        for name in (*all_sources(item.fields), *map(_object_of, item.fields))
    }
    filters = {"_source_includes": ",".join(sorted(includes))}
    body = dump_json({"docs": [_question(index, item) for index, item in items]})
    answer = await _ask(exchange, {**filters, "_source_exclude_vectors": "false"}, body)
    if answer.status == 400:  # before 9.2 vectors are not hidden, and there is no such parameter
        answer = await _ask(exchange, filters, body)
    if answer.status == 429 or answer.status >= 500:
        raise UpstreamUnavailable(f"upstream node answered {answer.status} to a read of documents")
    if answer.status >= 300:
        return [None] * len(items)
    return await offload(len(answer.body), AT_ONCE, lambda: items_of(answer, "docs", len(items)))


def _object_of(path: str) -> str:
    return f"{layout.CONTAINER}.{layout.key_of(path)}"


def _question(index: str, item: Item) -> dict[str, Any]:
    question: dict[str, Any] = {"_index": index, "_id": item.id}
    if "routing" in item.meta:
        question["routing"] = item.meta["routing"]
    return question


async def _ask(exchange: Exchange, filters: Mapping[str, str], body: bytes) -> UpstreamAnswer:
    upstream = exchange.parts.upstream
    target = f"/_mget?{urlencode(filters)}"
    return await upstream.ask_as_caller(exchange.request, "POST", target, body)


def consider(item: Item, document: Any) -> None:
    """Leave out of an update what the document that was read has, and keep what it does not touch.

    `document` is an answer to GET; None if it could not be had.
    """
    assert item.filling is not None
    if document is None or (failed := _failed(document)) is not None:
        for path, one in item.filling.fields.items():
            if len(one.sources) < len(one.semantic.sources):
                item.failure = _unread(path, None if document is None else failed)
        return
    if not document.get("found"):
        return
    source = document.get("_source") or {}
    relied = [
        _consider_field(item, one, source, chunks_there(source, path))
        for path, one in list(item.filling.fields.items())
    ]
    if any(relied) and "if_seq_no" not in item.meta:
        try:
            item.check_source()  # what must not be made is taken out of it
        except ProxyError as error:
            item.failure = error
        item.guard = Guard(if_seq_no=document["_seq_no"], if_primary_term=document["_primary_term"])


def _failed(document: Any) -> str | None:
    """The type of error that kept a document from being read; None if it was, or is not there."""
    match document:
        case {"error": {"type": kind}}:
            return None if kind == _NO_INDEX else str(kind)
        case {"found": bool()} if "error" not in document:
            return None
    return _UNCLEAR


def _unread(path: str, failed: str | None) -> StatusError:
    if failed in (None, "security_exception"):
        return StatusError(403, _NEEDS_READ.format(path=path))
    return StatusError(503, _NOT_READ.format(path=path, type=failed))


def chunks_there(source: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """The chunks of a field in a document."""
    container = source.get(layout.CONTAINER) or {}
    content = container.get(layout.key_of(path)) or {}
    chunks = content.get(layout.CHUNKS) or []
    return chunks if isinstance(chunks, list) else [chunks]


def _consider_field(
    item: Item,
    filling: FieldFilling,
    there: Mapping[str, Any],
    chunks: Sequence[Mapping[str, Any]],
) -> bool:
    """Whether what is written for a field depends on what was read."""
    field = filling.semantic
    same = {
        source
        for source in filling.sources
        if _is_same(filling, source, there, [one for one in chunks if one.get("field") == source])
    }
    changed = [source for source in filling.sources if source not in same]
    if not changed:
        assert item.filling is not None
        del item.filling.fields[field.path]
        return True
    filling.chunks = [chunk for chunk in filling.chunks if chunk.source in changed]
    kept, again = _kept(chunks, changed)
    filling.kept = kept
    for source in sorted(again):  # without vectors: made by something else than we
        texts = texts_there(there, source)
        filling.chunks.extend(chunks_of(source, texts, item.chunkers[field.path]))
    return bool(same or kept or again)


def _is_same(
    filling: FieldFilling,
    source: str,
    there: Mapping[str, Any],
    chunks: Iterable[Mapping[str, Any]],
) -> bool:
    """Whether a source says what it said before, cut in the same way."""
    if texts_there(there, source) != filling.texts[source]:
        return False
    planned = [_span(chunk) for chunk in filling.chunks if chunk.source == source]
    return planned == [(chunk.get("start"), chunk.get("end")) for chunk in chunks]


def _span(chunk: Chunk) -> tuple[int, int]:
    return chunk.start, chunk.end


def _kept(
    chunks: Iterable[Mapping[str, Any]], changed: Sequence[str]
) -> tuple[list[bytes], set[str]]:
    """The chunks of sources that stay as they are, and the sources whose vectors are missing."""
    others = [chunk for chunk in chunks if chunk.get("field") not in changed]
    again = {str(chunk.get("field")) for chunk in others if layout.VECTOR not in chunk}
    kept = [dump_json(chunk) for chunk in others if chunk.get("field") not in again]
    return kept, again
