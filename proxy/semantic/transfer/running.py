"""The steps of a copy, as the command `native` takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.ground.errors import IllegalArgument
from proxy.semantic.fields import TYPE
from proxy.semantic.transfer.copying import Copy
from proxy.semantic.transfer.estimating import estimate
from proxy.semantic.transfer.fields import inference_ids
from proxy.semantic.transfer.original import Described, Reader, count, describe, refresh
from proxy.semantic.transfer.peers import Peer, Refused, document, reason_in
from proxy.xcontent.loading import load_json

_TOLD_EACH: Final = 5.0  # seconds between two lines about how far it is
_TOLD: Final = 10  # failures that are told

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be copied where."""

    index: str
    new: str
    source: Peer
    target: Peer
    batch: int  # texts in a call of the provider, at the target
    endpoints: Mapping[str, str] = field(default_factory=dict)  # new names of some, by the old
    beneath: Peer | None = None  # the Elasticsearch beneath a target that is a proxy


class Incomplete(IllegalArgument):
    """The copy lacks something, and the command can be given again."""


async def preview(wish: Wish, tell: Tell) -> tuple[Described, Sequence[str]]:
    """Tell what a copy costs; what is copied, and what keeps it from being made.

    Raises: Refused, UpstreamError, IllegalArgument where not even that can be told.
    """
    original = await describe(wish.source, wish.index)
    tell(f"{original.name} at {wish.source.name}")
    for one in original.fields:
        tell(f"  {one.path}: {TYPE}, {one.shown}")
    tell(f"to be copied to {wish.new} at {wish.target.name}")
    for line in (await estimate(wish.source, original, wish.batch)).lines():
        tell(f"  {line}")
    return original, await _obstacles(wish, original)


async def _obstacles(wish: Wish, original: Described) -> list[str]:
    """What the target lacks."""
    found = []
    for old in inference_ids(original.fields, original.mapping):
        inference_id = wish.endpoints.get(old, old)
        reply = await wish.target.ask("GET", f"/_inference/{quote(inference_id, safe='')}")
        if reply.status == 200:
            continue
        error = load_json(reply.body or b"null")
        kind = error.get("error") if isinstance(error, dict) else None
        if isinstance(kind, dict) and kind.get("type") == "resource_not_found_exception":
            found.append(f"{wish.target.name} has no inference endpoint [{inference_id}]")
        else:
            why = reason_in(reply.body)
            return [f"{wish.target.name} has no {TYPE} of its own: to GET /_inference, {why}"]
    return found


async def execute(wish: Wish, original: Described, tell: Tell, *, swap: bool) -> None:
    """Make the copy, or go on with it; with `swap`, put it in the place of the original.

    Raises: Refused, UpstreamError, IllegalArgument; Incomplete where something was not copied.
    """
    if swap and not original.takes_no_writes:
        raise IllegalArgument(
            f"[{original.name}] may still be written to, and what came after the copy would be "
            f'lost: first PUT /{original.name}/_settings {{"index.blocks.write": true}}, and '
            "take that back if you stay with it"
        )
    copy = Copy(peer=wish.target, name=wish.new, original=original, endpoints=wish.endpoints)
    is_new = await copy.begin()
    await _check_kind(wish, copy, is_new=is_new)
    await _fill(wish, copy, tell, is_new=is_new, must_refresh=swap)
    await _compare(wish, copy, tell)
    if swap:
        await copy.finish()
        tell(f"{wish.new} has taken the place of {original.name}, which is as it was")
    else:
        _tell_how_to_go_on(wish, original, tell)


async def _check_kind(wish: Wish, copy: Copy, *, is_new: bool) -> None:
    """Raises: IllegalArgument where a proxy has passed on the fields for Elasticsearch's own."""
    if wish.beneath is None:
        return
    mapping = await document(wish.beneath, "GET", f"/{quote(wish.new, safe='')}/_mapping")
    if f'"{TYPE}"'.encode() in orjson.dumps(mapping):
        if is_new:
            await wish.target.ask("DELETE", f"/{quote(wish.new, safe='')}")
        named = ", ".join(sorted({one.inference_id for one in copy.original.fields}))
        raise IllegalArgument(
            f"the proxy at {wish.target.name} does not have the endpoints [{named}] itself, but "
            "Elasticsearch does: create them there under other names, and give --endpoint"
        )


async def _fill(wish: Wish, copy: Copy, tell: Tell, *, is_new: bool, must_refresh: bool) -> None:
    try:
        await refresh(wish.source, copy.original.name)
    except Refused:
        if must_refresh:
            raise
    reader = Reader(wish.source, copy.original.name)
    told_at = monotonic()
    async with aclosing(reader.pages()) as pages:
        async for page in pages:
            await copy.add(page, is_new=is_new)
            copy.progress.total = reader.total
            if monotonic() - told_at > _TOLD_EACH:
                told_at = monotonic()
                tell(f"{copy.progress.done:,} of {copy.progress.total:,} documents")
    copy.progress.failures += [f"[{one}]: too large to be read" for one in reader.unreadable]
    await refresh(wish.target, copy.name)
    if not is_new and await count(wish.target, copy.name) > reader.total:
        await copy.take_away(wish.source)
        await refresh(wish.target, copy.name)


async def _compare(wish: Wish, copy: Copy, tell: Tell) -> None:
    progress = copy.progress
    tell(
        f"copied {progress.copied:,} documents, of which {progress.embedded:,} had to be embedded; "
        f"{progress.present:,} were there before; deleted {progress.deleted:,} that are gone"
    )
    for failure in progress.failures[:_TOLD]:
        tell(f"failed: {failure}")
    there = await count(wish.target, wish.new)
    if progress.failures or there != progress.total:
        raise Incomplete(
            f"[{wish.new}] has {there:,} of {progress.total:,} documents, and "
            f"{len(progress.failures):,} have failed: the same command goes on where this one ends"
        )
    tell(f"{wish.new} has {there:,} documents, {copy.original.name} had {progress.total:,}")


def _tell_how_to_go_on(wish: Wish, original: Described, tell: Tell) -> None:
    tell("The same command copies what has changed meanwhile. To change over:")
    tell(f'  PUT /{original.name}/_settings {{"index.blocks.write": true}}')
    tell("  the same command with --swap")
    if not original.aliases:
        tell(f"  [{original.name}] has no alias; for callers who use its name itself, then:")
        actions: list[Any] = [
            {"remove_index": {"index": original.name}},
            {"add": {"index": wish.new, "alias": original.name}},
        ]
        tell(f"  POST /_aliases {orjson.dumps({'actions': actions}).decode()}")
