"""The copy: made, filled, compared with the original, and put in its place.

A copy that is under way has an alias that names its original. So one that was broken off goes on
where it was, and nothing else is ever written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from math import isclose
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.ground.errors import IllegalArgument, UpstreamError
from proxy.semantic.hits import Hit
from proxy.semantic.sourcefilters import INFERENCE_FIELDS
from proxy.semantic.transfer.fields import Endpoints, complete, with_endpoints
from proxy.semantic.transfer.original import FINAL_PIPELINE, Described, Document, Reader
from proxy.semantic.transfer.peers import Peer, Refused, asked, document, reason_of
from proxy.xcontent.loading import load_json
from proxy.xcontent.slicing import members

MOST_FAILURES: Final = 100  # after which a copy is given up
_ATTEMPTS: Final = 6
_PAUSE: Final = 0.5  # seconds before a bulk is sent again; then twice as long each time
_OVERLOADED: Final = (429, 503)
_ROUNDS: Final = 3  # of writing a document that is in conflict with what is there
_ROUNDED: Final = 1e-6
_CONFLICT: Final = "version_conflict_engine_exception"


@dataclass(slots=True, kw_only=True)
class Progress:
    """What has been done so far."""

    total: int = 0  # documents of the original
    copied: int = 0
    present: int = 0  # those that were there before
    embedded: int = 0  # those among the copied that came without all of their vectors
    deleted: int = 0  # those that the original has no more
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.copied + self.present + len(self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """What a copy has of a document."""

    version: int
    content: Any
    guard: Mapping[str, Any]


_NOT_THERE: Final = _There(version=0, content=None, guard={})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A document on its way."""

    document: Document
    lines: bytes
    lacks_vectors: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An index at `peer` that becomes what `original` is."""

    peer: Peer
    name: str
    original: Described
    endpoints: Endpoints
    progress: Progress = field(default_factory=Progress)

    @property
    def mark(self) -> str:
        """The alias of a copy that is under way."""
        return f"{self.name}-copy-of-{self.original.uuid}"

    async def begin(self) -> bool:
        """Make the index, unless it is there from before; whether it is new.

        Raises: Refused, UpstreamError; IllegalArgument where there is another index of that name.
        """
        reply = await self.peer.ask("GET", f"{self._path}/_alias")
        if reply.status == 404:
            await asked(self.peer, "PUT", self._path, self._definition())
            return True
        if reply.status >= 300:
            await asked(self.peer, "GET", f"{self._path}/_alias")  # which says why
        found = load_json(reply.body)
        if self.mark not in found.get(self.name, {}).get("aliases", {}):
            raise IllegalArgument(
                f"[{self.name}] at {self.peer.name} is no copy of [{self.original.name}] that is "
                "under way: choose another name, or delete it"
            )
        return False

    def _definition(self) -> dict[str, Any]:
        settings = self.original.own_settings
        settings.pop(FINAL_PIPELINE, None)  # documents went through it when they were written
        return {
            "settings": settings,
            "mappings": with_endpoints(self.original.mapping, self.endpoints),
            "aliases": {self.mark: {"is_hidden": True}},
        }

    @property
    def _path(self) -> str:
        return f"/{quote(self.name, safe='')}"

    # Documents

    async def add(self, page: Sequence[Document], *, is_new: bool) -> None:
        """Write the documents that are not there yet as they are. Raises: as `begin`."""
        left, keeps_versions = list(page), True
        for _ in range(_ROUNDS):
            there = [_NOT_THERE] * len(left) if is_new else await self._there(left)
            missing = [
                (one, state)
                for one, state in zip(left, there, strict=True)
                if state.version < one.version or not _is_same(state.content, one.content)
            ]
            self.progress.present += len(left) - len(missing)
            items = [self._item(*one, keeps_version=keeps_versions) for one in missing]
            left = await self._add(items)
            if not left:
                return
            # A document that was deleted here a moment ago takes no older version.
            is_new = keeps_versions = False
        self.progress.failures += [f"[{one.hit.id}]: it is written to by others" for one in left]

    async def _add(self, items: Sequence[_Item]) -> list[Document]:
        """The documents that were in conflict with what is there."""
        refused = await self._send({place: one.lines for place, one in enumerate(items)})
        conflicts = []
        for place, error in refused.items():
            one = items[place].document
            if error.get("type") == _CONFLICT:
                conflicts.append(one)
            else:
                self.progress.failures.append(f"[{one.hit.id}]: {reason_of(error)}")
        done = [one for place, one in enumerate(items) if place not in refused]
        self.progress.copied += len(done)
        self.progress.embedded += sum(one.lacks_vectors for one in done)
        if len(self.progress.failures) >= MOST_FAILURES:
            raise IllegalArgument(
                f"given up after {MOST_FAILURES} documents that failed, the last one "
                f"{self.progress.failures[-1]}"
            )
        return conflicts

    async def _there(self, page: Sequence[Document]) -> list[_There]:
        """What is there of these documents from before.

        A version alone does not tell: one that was deleted and made again has a first one again.
        """
        return [_there(one) for one in await gotten(self.peer, self._path, [x.hit for x in page])]

    def _item(self, one: Document, there: _There, *, keeps_version: bool) -> _Item:
        """A document as an item of a bulk, with its vectors if it has all of them."""
        meta: dict[str, Any] = {"_id": one.hit.id}
        if one.hit.routing is not None:
            meta["routing"] = one.hit.routing
        action = "index"
        if keeps_version and there.version < one.version:
            meta |= {"version": one.version, "version_type": "external"}
        elif there is _NOT_THERE:
            action = "create"
        else:
            meta |= there.guard
        fields = self.original.fields
        vectors = complete(one.content, one.inference, fields, self.endpoints)
        source = one.source
        if vectors:
            comma = b"" if next(members(source), None) is None else b","
            added = b'%b"%b":%b' % (comma, INFERENCE_FIELDS.encode(), orjson.dumps(vectors))
            source = source[:-1] + added + b"}"
        lines = b'{"%b":%b}\n%b\n' % (
            action.encode(),
            orjson.dumps(meta),
            source.replace(b"\n", b" "),
        )
        return _Item(document=one, lines=lines, lacks_vectors=vectors is None)

    async def _send(self, lines: Mapping[int, bytes]) -> dict[int, Any]:
        """The errors of items by their numbers; what may pass is tried again."""
        target = f"{self._path}/_bulk?pipeline=_none"
        errors: dict[int, Any] = {}
        left, pause = dict(lines), _PAUSE
        if not left:
            return errors
        for attempt in range(1, _ATTEMPTS + 1):
            is_last = attempt == _ATTEMPTS
            try:
                answer = await document(self.peer, "POST", target, b"".join(left.values()))
            except (UpstreamError, Refused) as error:
                if is_last or (error.status < 500 and error.status not in _OVERLOADED):
                    raise
                await asyncio.sleep(pause)
                pause *= 2
                continue
            failed = dict(_failed(left, answer["items"]))
            again = [one for one, (status, _) in failed.items() if status in _OVERLOADED]
            again = [] if is_last else again
            errors |= {one: error for one, (_, error) in failed.items() if one not in again}
            if not again:
                break
            left = {one: left[one] for one in again}
            await asyncio.sleep(pause)
            pause *= 2
        return errors

    # What the original has no more

    async def take_away(self, original: Peer) -> None:
        """Delete what is here and no more in the original. Raises: as `begin`."""
        reader = Reader(self.peer, self.name, with_source=False)
        async with aclosing(reader.pages()) as pages:
            async for page in pages:
                hits = [one.hit for one in page]
                path = f"/{quote(self.original.name, safe='')}"
                there = await gotten(original, path, hits, with_source=False)
                deleted = [
                    hit
                    for hit, one in zip(hits, there, strict=True)
                    if one.get("found") is False  # and not an error
                ]
                if deleted:
                    lines = b"".join(map(_deletion, deleted))
                    answer = await document(self.peer, "POST", f"{self._path}/_bulk", lines)
                    done = [one["delete"]["status"] for one in answer["items"]]
                    self.progress.deleted += sum(status < 300 for status in done)

    # The end

    async def actions(self) -> list[Any]:
        """What `_aliases` has to do to put the copy in the place of its original."""
        actions: list[Any] = [{"remove": {"index": self.name, "alias": self.mark}}]
        is_beside = await self._is_beside_original()
        for alias, about in self.original.aliases.items():
            if is_beside:
                actions.append({"remove": {"index": self.original.name, "alias": alias}})
            actions.append({"add": {"index": self.name, "alias": alias, **about}})
        return actions

    async def _is_beside_original(self) -> bool:
        name = quote(self.original.name, safe="")
        reply = await self.peer.ask("GET", f"/{name}/_settings?flat_settings=true")
        if reply.status != 200:
            return False
        settings = load_json(reply.body).get(self.original.name, {}).get("settings", {})
        return bool(settings.get("index.uuid") == self.original.uuid)

    async def finish(self) -> None:
        """Put the copy in the place of its original. Raises: as `begin`."""
        pipeline = self.original.settings.get(FINAL_PIPELINE)
        if pipeline is not None:
            settings = {f"index.{FINAL_PIPELINE}": pipeline}
            await asked(self.peer, "PUT", f"{self._path}/_settings", settings)
        await asked(self.peer, "POST", "/_aliases", {"actions": await self.actions()})


async def gotten(
    peer: Peer, path: str, hits: Iterable[Hit], *, with_source: bool = True
) -> list[dict[str, Any]]:
    """What `_mget` finds of these documents in an index. Raises: Refused, UpstreamError."""
    docs = [
        {"_id": hit.id} if hit.routing is None else {"_id": hit.id, "routing": hit.routing}
        for hit in hits
    ]
    shown = "_source_exclude_vectors=false" if with_source else "_source=false"
    try:
        answer = await document(peer, "POST", f"{path}/_mget?{shown}", {"docs": docs})
    except Refused as error:
        if error.status != 400 or "exclude_vectors" not in error.reason:
            raise  # before 9.2 they are never left out
        answer = await document(peer, "POST", f"{path}/_mget", {"docs": docs})
    found: list[dict[str, Any]] = answer["docs"]
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Whether two documents say the same; vectors are rounded when they are stored."""
    if one == other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=_ROUNDED)
    return False


def _there(got: Mapping[str, Any]) -> _There:
    if not got.get("found"):
        return _NOT_THERE
    content = {key: value for key, value in got["_source"].items() if key != INFERENCE_FIELDS}
    guard = {"if_seq_no": got["_seq_no"], "if_primary_term": got["_primary_term"]}
    return _There(version=got["_version"], content=content, guard=guard)


def _failed(
    sent: Iterable[int], items: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[int, tuple[int, Any]]]:
    for number, item in zip(sent, items, strict=True):
        (answer,) = item.values()
        if "error" in answer:
            yield number, (answer["status"], answer["error"])


def _deletion(hit: Hit) -> bytes:
    meta: dict[str, Any] = {"_id": hit.id}
    if hit.routing is not None:
        meta["routing"] = hit.routing
    meta |= {"if_seq_no": hit.about["_seq_no"], "if_primary_term": hit.about["_primary_term"]}
    return orjson.dumps({"delete": meta}) + b"\n"
