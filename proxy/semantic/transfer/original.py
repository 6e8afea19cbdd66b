"""The index that is copied: what it is, and its documents page by page. It is only read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.ground.errors import IllegalArgument, UpstreamError
from proxy.limits.threads import offload
from proxy.semantic.answerjson import with_sources
from proxy.semantic.fields import TYPE
from proxy.semantic.hits import Hit, hits_with_sources, total_of
from proxy.semantic.sourcefilters import INFERENCE_FIELDS
from proxy.semantic.transfer.fields import DeclaredField, declared_fields
from proxy.semantic.transfer.peers import Peer, Refused, asked, document
from proxy.xcontent.loading import load_json
from proxy.xcontent.slicing import members

_KEEP_ALIVE: Final = "10m"  # from one page to the next
_FIRST: Final = 50  # documents of the first page
_MOST: Final = 1000
_PAGE: Final = 4 * 1024 * 1024  # bytes of a page, about
_SEARCH: Final = "/_search?allow_partial_search_results=false"
_AT_ONCE: Final = 65536  # bytes that are read on the event loop
# Settings that an index gets when it is made, or that say where it lies.
_NOT_COPIED: Final = (
    *("blocks", "creation_date", "creation_date_string", "history", "provided_name", "resize"),
    *("store", "uuid", "verified_before_close", "version", "routing.allocation.initial_recovery"),
)
FINAL_PIPELINE: Final = "final_pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An index as its user has declared it."""

    name: str
    uuid: str
    mapping: Mapping[str, Any]
    settings: Mapping[str, Any]  # without `index.`, by names with dots
    aliases: Mapping[str, Any]
    fields: tuple[DeclaredField, ...]
    takes_no_writes: bool

    @property
    def own_settings(self) -> dict[str, Any]:
        """Those for an index that is to be like it."""
        return {
            name: value
            for name, value in self.settings.items()
            if not any(name == one or name.startswith(f"{one}.") for one in _NOT_COPIED)
        }


async def describe(peer: Peer, expression: str) -> Described:
    """One index, named itself or by an alias of its own.

    Raises: Refused, UpstreamError; IllegalArgument for one that cannot be copied.
    """
    target = f"/{quote(expression, safe='')}?flat_settings=true"
    found = await document(peer, "GET", target)
    if len(found) != 1:
        raise IllegalArgument(
            f"[{expression}] stands for {len(found)} indices: copy them one by one"
        )
    ((name, about),) = found.items()
    if "data_stream" in about:
        raise IllegalArgument(f"[{name}] belongs to a data stream, which cannot be copied so")
    mapping = about.get("mappings", {})
    source = mapping.get("_source", {})
    if source.get("enabled") is False or source.get("excludes") or source.get("includes"):
        raise IllegalArgument(
            f"[{name}] does not keep all of its documents in [_source], so they cannot be copied"
        )
    fields = declared_fields(mapping)
    if not fields:
        raise IllegalArgument(f"[{name}] at {peer.name} has no fields of type [{TYPE}]")
    settings = {key.removeprefix("index."): value for key, value in about["settings"].items()}
    return Described(
        name=name,
        uuid=settings["uuid"],
        mapping=mapping,
        settings=settings,
        aliases=about.get("aliases", {}),
        fields=tuple(fields),
        takes_no_writes=any(
            settings.get(f"blocks.{block}") == "true" for block in ("write", "read_only")
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document with what Elasticsearch keeps of its semantic fields."""

    hit: Hit
    source: bytes  # as it was written, without `_inference_fields`
    content: Mapping[str, Any]  # the same, read
    inference: Mapping[str, Any]

    @property
    def version(self) -> int:
        return int(self.hit.about["_version"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    about: Mapping[str, Any]
    documents: list[Document]
    is_readable: bool = True


@dataclass(slots=True)
class Reader:
    """Reads an index as it is at one moment, in pages that are neither too large nor too small."""

    peer: Peer
    index: str
    with_source: bool = True
    total: int = 0
    unreadable: list[str] = field(default_factory=list)  # ids of what is too large to be read
    _size: int = _FIRST
    _asks_by_name: bool = False  # for `_inference_fields`, as before 9.2

    async def pages(self) -> AsyncGenerator[list[Document], None]:
        """All documents. Raises: Refused, UpstreamError."""
        target = f"/{quote(self.index, safe='')}/_pit?keep_alive={_KEEP_ALIVE}"
        pit = (await document(self.peer, "POST", target))["id"]
        after: Any = None
        try:
            while True:
                page = await self._page(pit, after)
                self.total = total_of(page.about) or self.total
                pit = page.about.get("pit_id", pit)
                if not page.documents:
                    return
                after = page.documents[-1].hit.about["sort"]
                if page.is_readable:
                    yield page.documents
        finally:
            with suppress(UpstreamError):
                await self.peer.ask("DELETE", "/_pit", orjson.dumps({"id": pit}))

    async def _page(self, pit: str, after: Any) -> _Page:
        """The next documents; fewer at once where they have more bytes than can be read."""
        while True:
            try:
                answer = await self._search(pit, after, self._size, self._source())
            except (UpstreamError, Refused) as error:
                if error.status < 500:
                    raise
                if self._size == 1:
                    return await self._passed_over(pit, after)
                self._size = max(1, self._size // 4)
                continue
            page = await offload(len(answer), _AT_ONCE, partial(_page_of, answer))
            if page.documents:
                fitting = _PAGE * len(page.documents) // len(answer)
                self._size = max(1, min(_MOST, fitting, 4 * self._size))
            return page

    async def _passed_over(self, pit: str, after: Any) -> _Page:
        """The next document, which is too large, by its name."""
        page = _page_of(await self._search(pit, after, 1, {"_source": False}))
        self.unreadable += [one.hit.id for one in page.documents]
        self._size = _FIRST
        return replace(page, is_readable=False)

    async def _search(self, pit: str, after: Any, size: int, source: Mapping[str, Any]) -> bytes:
        body = {
            "size": size,
            "pit": {"id": pit, "keep_alive": _KEEP_ALIVE},
            "sort": ["_shard_doc"],
            "version": True,
            "seq_no_primary_term": True,
            "track_total_hits": after is None,
            **source,
        }
        if after is not None:
            body["search_after"] = after
        try:
            return await asked(self.peer, "POST", _SEARCH, body)
        except Refused as error:
            if error.status != 400 or self._asks_by_name or "exclude_vectors" not in error.reason:
                raise
            self._asks_by_name = True
            return await self._search(pit, after, size, self._source())

    def _source(self) -> dict[str, Any]:
        if not self.with_source:
            return {"_source": False}
        if self._asks_by_name:
            return {"fields": [INFERENCE_FIELDS]}
        return {"_source": {"exclude_vectors": False}}


async def sample(peer: Peer, index: str, size: int) -> list[Document]:
    """Some documents, anywhere in an index. Raises: Refused, UpstreamError."""
    query: dict[str, Any] = {"query": {"match_all": {}}, "random_score": {}}
    for wanted in (size, max(1, size // 10), 1):
        body = {"size": wanted, "query": {"function_score": query}, "version": True}
        try:
            answer = await _sampled(peer, index, body)
        except (UpstreamError, Refused) as error:
            if error.status < 500:
                raise
            continue
        return [_document(hit) for hit in hits_with_sources(*with_sources(answer))]
    return []


async def _sampled(peer: Peer, index: str, body: Mapping[str, Any]) -> bytes:
    target = f"/{quote(index, safe='')}/_search"
    try:
        return await asked(peer, "POST", target, {**body, "_source": {"exclude_vectors": False}})
    except Refused as error:
        if error.status != 400 or "exclude_vectors" not in error.reason:
            raise
        return await asked(peer, "POST", target, {**body, "fields": [INFERENCE_FIELDS]})


async def refresh(peer: Peer, index: str) -> None:
    """Make all documents visible. Raises: Refused, UpstreamError."""
    await asked(peer, "POST", f"/{quote(index, safe='')}/_refresh")


async def count(peer: Peer, index: str) -> int:
    """How many documents of an index are visible. Raises: Refused, UpstreamError."""
    return int((await document(peer, "GET", f"/{quote(index, safe='')}/_count"))["count"])


def _page_of(answer: bytes) -> _Page:
    about, sources = with_sources(answer)
    documents = [_document(hit) for hit in hits_with_sources(about, sources)]
    return _Page(about=about, documents=documents)


def _document(hit: Hit) -> Document:
    parts, inference = [], b"{}"
    for one in members(hit.source):
        if one.name == INFERENCE_FIELDS:
            inference = hit.source[one.at : one.end]
        else:
            parts.append(hit.source[one.start : one.end])
    source = b"{%b}" % b",".join(parts)
    return Document(
        hit=hit, source=source, content=load_json(source), inference=load_json(inference)
    )
