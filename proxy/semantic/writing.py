"""`_bulk`: any number of documents, worked through in windows while they still arrive."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from proxy.ground.errors import PlainError, StatusError, Unauthenticated, UpstreamError
from proxy.ground.frames import forget_frames
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE, entries_of
from proxy.semantic.bulk import Malformed, Window, new_id, windows
from proxy.semantic.collected import CollectedItems
from proxy.semantic.exchange import Exchange
from proxy.semantic.flawless import FlawlessItems
from proxy.semantic.handover import Handover, others_first, sent_first
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.parting import Gathering, groups
from proxy.semantic.plainlines import PlainLines
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.targets import write_target
from proxy.semantic.writer import Entry, Refused, Writer
from proxy.xcontent.writing import dump_json

# Bytes of a body that are worked through at once: first, and from then on.
_FIRST_WINDOW: Final = 128 * 1024
_WINDOW: Final = 1024 * 1024
_SENT: Final = 12 * 1024 * 1024  # bytes that are sent at once
_INGESTED: Final = 512  # documents that go through pipelines of ours at once
_ELSEWHERE: Final = (b"_index", b"pipeline")  # what may take documents elsewhere than the path says
_LINE: Final = re.compile(r"(?<=\bline \[)\d+(?=\])")

_Entries = list[Entry] | FlawlessItems


async def bulk(exchange: Exchange) -> web.StreamResponse:
    """Any number of documents; each has an answer of its own."""
    index = exchange.names.get("index") or exchange.rest.parameters.get("index")
    sent = exchange.rest.content_type
    if sent is None or (sent.format is None and not sent.is_smile):
        return await exchange.hand_on()  # the upstream takes none of these
    if sent.format != "json":
        if index and not await _is_concerned(exchange, index):
            # Of other formats the upstream takes SMILE, which has names as they are.
            lines = await exchange.read() if sent.is_smile else b""
            if not any(name in lines for name in _ELSEWHERE):
                return await exchange.hand_on()
        shown = exchange.rest.headers.get("Content-Type", "")
        raise PlainError(406, f"Content-Type header [{shown}] is not supported")
    pieces = exchange.pieces()
    if not index or not exchange.wants_no_form or not await _is_plain(exchange, index):
        return await _Bulk(exchange, index, pieces).answer()
    return await _passed_on(exchange, index, PlainLines(pieces))


async def _is_plain(exchange: Exchange, index: str) -> bool:
    """Whether a document goes there as it comes, and none through a pipeline of ours."""
    registry = exchange.parts.registry
    target = await write_target(registry, index)
    return target.index is not None and not target.fields and not registry.snapshot.pipelines


async def _passed_on(exchange: Exchange, index: str, lines: PlainLines) -> web.StreamResponse:
    """The answer to a body that goes to a plain index, as far as its lines say nothing else."""
    plain = lines.plain()
    if (first := await anext(plain, None)) is None:
        return await _Bulk(exchange, index, lines.left()).answer()
    try:
        answer = await exchange.hand_on_pieces(_behind(first, plain), lambda: lines.is_whole)
    except UpstreamError:
        if lines.error is not None:
            raise lines.error from None
        raise
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer.status >= 300 or not lines.is_divided:
        return await exchange.as_is(answer)
    entries = await offload(len(answer.body), AT_ONCE, lambda: entries_of(answer))
    return await _Bulk(exchange, index, lines.left(), entries, lines.lines).answer()


async def _behind(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece


async def _is_concerned(exchange: Exchange, index: str) -> bool:
    registry = exchange.parts.registry
    target = await write_target(registry, index)
    requested = exchange.rest.parameters.get("pipeline")
    return target.concerns(requested, registry.snapshot.pipelines)


class _Bulk:
    """One request, or what is left of it."""

    def __init__(
        self,
        exchange: Exchange,
        index: str | None,
        pieces: AsyncIterator[bytes],
        answers: Sequence[Entry] = (),
        lines: int = 0,
    ) -> None:
        """`pieces` are the body behind so many `lines`, whose items have had these `answers`."""
        self._exchange = exchange
        self._index = index or ""
        self._body = pieces
        self._lines = lines
        self._writer = Writer(exchange, index)
        self._collected = CollectedItems()
        if answers:
            self._collected.add(answers)
        self._unrefreshed: set[str] = set()  # indices that were written to before the last window
        # The window that was answered last, and whether none follows.
        self._answered: asyncio.Queue[tuple[Window, _Entries, bool]] = asyncio.Queue(1)
        self._has_body = False
        self._has_begun = False  # to send any window
        self._has_answers = bool(answers)  # whether any item has one
        self._has_sent = bool(answers)  # whether the upstream has seen any item
        self._forbidden = 0  # items
        self._refused = ""  # an index of theirs
        self._started = monotonic()

    async def answer(self) -> web.StreamResponse:
        """Work through the body."""
        try:
            refused = await self._work()
        except Malformed as malformed:
            return await self._malformed(malformed)
        if refused is not None:
            return refused
        if not self._collected.count:
            return await self._malformed(Malformed(b"\n" if self._has_body else b"", 0))
        if self._forbidden == self._collected.count and not self._has_sent:
            answer = await self._probe()
            if answer.status == 403:
                return await self._exchange.patched(answer, hide_in_error)
        self._exchange.passed_on = not self._writer.touched
        await self._refresh()
        took = int((monotonic() - self._started) * 1000)
        return await self._exchange.streamed(
            self._collected.rendered(took), is_large=self._collected.is_large
        )

    async def _work(self) -> web.StreamResponse | None:
        """Send window after window; the answer, if the upstream refuses all.

        While some are sent, the next are embedded, and those after them prepared. What was answered
        is collected meanwhile, too: the upstream does not wait for that.
        Raises: Malformed, UpstreamError; CancelledError for a caller that leaves, whose body
        ends with an error at the same time.
        """
        prepared, embedded = Handover(), Handover(_SENT)
        try:
            async with asyncio.TaskGroup() as tasks:
                steps = [
                    tasks.create_task(self._embed_all(prepared, embedded)),
                    tasks.create_task(self._prepare_all(prepared)),
                    tasks.create_task(self._collect_all()),
                ]
                try:
                    refused = await self._send_all(embedded)
                    await self._answered.join()
                    return refused
                finally:
                    for step in steps:
                        step.cancel()
        except ExceptionGroup as failures:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from None
            raise failures.exceptions[0] from None

    async def _prepare_all(self, prepared: Handover) -> None:
        with prepared.giving():
            async with aclosing(self._prepared(prepared)) as windows:
                async for window in windows:
                    await prepared.room(window)
                    prepared.give(window)

    async def _embed_all(self, prepared: Handover, embedded: Handover) -> None:
        with embedded.giving():
            while (window := await prepared.take()) is not None:
                await embedded.room(window)
                if self._has_begun:
                    await sent_first()
                await self._writer.embed(window)
                embedded.give(window)

    async def _send_all(self, embedded: Handover) -> web.StreamResponse | None:
        wants_refresh = self._refresh_wanted()
        while (window := await embedded.take(knows_end=wants_refresh)) is not None:
            if (refused := await self._send(window, embedded)) is not None:
                return refused
        return None

    async def _collect_all(self) -> None:
        while True:
            window, entries, is_last = await self._answered.get()
            await others_first()
            self._collect(window, entries, is_last=is_last)
            del window, entries  # while the upstream is busy, as this takes a while, too
            self._answered.task_done()

    async def _prepared(self, following: Handover) -> AsyncGenerator[Window, None]:
        """The body's items, their texts cut, in windows small enough to be embedded at once.

        They are given to `following`, and smaller if nothing else is embedded meanwhile.
        """
        gathering, is_first = Gathering(self._writer.key_of), True
        most = _INGESTED if self._exchange.parts.registry.snapshot.pipelines else None
        async with aclosing(windows(self._pieces(), _FIRST_WINDOW, _WINDOW, self._lines)) as coming:
            async for window in coming:
                for group in groups(window, most, is_first=is_first):
                    await self._prepare(group)
                    for full in gathering.full(group):
                        yield full
                    if following.is_awaited:
                        for enough in gathering.enough():
                            yield enough
                    await others_first()  # what has been prepared is embedded first
                for rest in gathering.rest():  # as the caller may wait for it to be written
                    yield rest
                is_first = False

    async def _prepare(self, group: Window) -> None:
        """Prepare items. Whose credentials expire amid a bulk is still told what is done by then.

        Raises: Unauthenticated where nothing is.
        """
        try:
            await self._writer.prepare(group.items)
        except Unauthenticated as error:
            if not self._has_begun:
                raise
            forget_frames(error)
            for item in group.items:
                item.failure = error

    async def _pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._has_body = True
            yield piece

    async def _send(self, window: Window, following: Handover) -> web.StreamResponse | None:
        """Send a window, and have its answers collected; or the answer to all, if it is but that.

        Raises: UpstreamError where nothing has been answered, and nothing follows.
        """
        self._has_begun = True
        is_last = self._refresh_wanted() and await following.is_over()
        try:
            entries = await self._writer.send_unread(window, is_last=is_last)
        except UpstreamError as error:
            if not self._has_answers and await following.is_over():
                raise
            entries = self._writer.lost(window, error)
        if isinstance(entries, Refused):
            answer = entries.answer
            if answer.status == 400 or not self._has_answers:
                return await self._exchange.patched(
                    answer, lambda document: with_lines(hide_in_error(document), window.line_of)
                )
            entries = window.answers(self._writer.refusals(window.sent(), answer), self._index)
        self._has_answers = True
        self._has_sent = self._has_sent or bool(window.sent())
        await self._answered.put((window, entries, is_last))
        return None

    def _collect(self, window: Window, entries: _Entries, *, is_last: bool) -> None:
        self._writer.count(window, entries)
        notes = not is_last and self._refresh_wanted()
        if isinstance(entries, FlawlessItems):
            if not notes:
                self._collected.add_written(entries.json, entries.count)
                return
            entries = entries.entries()
        if notes:
            self._note(entries)
        self._look_for_refusals(entries)
        self._collected.add(entries)

    def _look_for_refusals(self, entries: list[Entry]) -> None:
        for entry in entries:
            for answer in entry.values():
                if answer["status"] == 403:
                    self._forbidden += 1
                    self._refused = answer["_index"]

    # What goes with the last window

    def _refresh_wanted(self) -> bool:
        return self._exchange.rest.parameters.get("refresh", "false") != "false"

    def _note(self, entries: list[Entry]) -> None:
        """Take note of what was written, and show it as refreshed, as it will be."""
        is_forced = self._exchange.rest.parameters.get("refresh") != "wait_for"
        for entry in entries:
            ((action, answer),) = entry.items()
            if "error" not in answer and "result" in answer:
                if answer["result"] != "noop":
                    self._unrefreshed.add(answer["_index"])
                if is_forced:
                    entry[action] = _with_forced_refresh(answer)

    async def _refresh(self) -> None:
        """Refresh what the last window, which asked for it, has perhaps not touched."""
        for index in sorted(self._unrefreshed):
            upstream, path = self._exchange.parts.upstream, f"/{quote(index, safe='')}/_refresh"
            answer = await upstream.ask_as_caller(self._exchange.request, "POST", path)
            if answer.status == 403:  # writing with `refresh` does not ask for this privilege
                await upstream.ask_as_proxy("POST", path)

    # What Elasticsearch refuses

    async def _probe(self) -> UpstreamAnswer:
        """What the upstream says to an update of nothing, which tells who may not write at all."""
        meta = {"_index": self._refused, "_id": new_id(), "require_alias": True}
        lines = b'%b\n{"doc":{}}\n' % dump_json({"update": meta})
        upstream = self._exchange.parts.upstream
        target = self._writer.target(refreshes=False)
        return await upstream.ask_as_caller(self._exchange.request, "POST", target, lines)

    async def _malformed(self, malformed: Malformed) -> web.StreamResponse:
        """The upstream's own words about a body that is no `_bulk`."""
        upstream = self._exchange.parts.upstream
        target = self._writer.target(refreshes=False)
        answer: UpstreamAnswer = await upstream.ask_as_caller(
            self._exchange.request, "POST", target, malformed.line
        )
        if answer.status < 300:
            raise StatusError(400, "the body is no _bulk")
        return await self._exchange.patched(
            answer,
            lambda document: with_lines(
                hide_in_error(document), lambda line: malformed.before + line
            ),
        )


def with_lines(document: Any, line_of: Callable[[int], int]) -> Any:
    """An error's document with numbers of lines as `line_of` tells them."""
    if isinstance(document, str):
        return _LINE.sub(lambda match: str(line_of(int(match[0]))), document)
    if isinstance(document, list):
        return [with_lines(one, line_of) for one in document]
    if isinstance(document, dict):
        return {key: with_lines(one, line_of) for key, one in document.items()}
    return document


def _with_forced_refresh(answer: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, value in answer.items():
        shown[key] = value
        if key == "result":
            shown["forced_refresh"] = True
    return shown
