"""Connections to whoever answers: Elasticsearch, or the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from typing import TYPE_CHECKING, cast

from proxy import wire
from proxy.errors import ProxyError, UpstreamBroken, UpstreamTimedOut, UpstreamUnavailable
from proxy.lane.states import ANSWER, BODY, CONNECTING, HEAD, HELD_LIMIT, IDLE, NEVER
from proxy.wire import Body, Malformed, RequestHead

if TYPE_CHECKING:
    from proxy.lane.caller import CallerSide

log = logging.getLogger(__name__)


class UpstreamSide(asyncio.Protocol):
    """One connection to whoever answers, serving one request at a time."""

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.state = CONNECTING
        self.caller: CallerSide | None = None
        self.idle_since = NEVER
        self._waiting: list[bytes] = []  # to be sent once there is a connection
        self._retry: bytes | None = None  # the whole request so far, if it may be sent again
        self._parser = wire.AnswerParser()
        self._body: Body = wire.EndlessBody()
        self._reusable = False  # whether the connection outlives the answer
        self._full = False  # whether the transport wants no more writes

    # --- the request

    def start(self, caller: CallerSide, data: bytes) -> None:
        """Serve `caller`, whose request begins with `data`."""
        self.caller = caller
        caller.upstream = self
        if self.state is CONNECTING:
            self._waiting.append(data)
            if caller.state is BODY:
                caller.transport.pause_reading()
            return
        self.state = HEAD
        self._retry = data if len(data) <= HELD_LIMIT else None
        self.transport.write(data)
        if caller.full:
            self.transport.pause_reading()

    def send(self, data: bytes) -> None:
        """Pass on a part of the request's body."""
        if self.state is CONNECTING:
            self._waiting.append(data)
            return
        if self._retry is not None:
            kept = self._retry + data
            self._retry = kept if len(kept) <= HELD_LIMIT else None
        self.transport.write(data)

    def drop(self) -> None:
        """Nobody will hear what is still to come."""
        self.caller = None
        self.pool.retire(self)
        if self.state is not CONNECTING:
            self.transport.abort()

    def pause_reading(self) -> None:
        if self.state is not CONNECTING:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.state is not CONNECTING:
            self.transport.resume_reading()

    # --- events of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.state = HEAD
        caller = self.caller
        if caller is None:  # gone meanwhile
            self.drop()
            return
        self.transport.writelines(self._waiting)
        self._waiting.clear()
        caller.transport.resume_reading()
        if caller.full:
            self.transport.pause_reading()

    def connection_failed(self, error: ProxyError) -> None:
        caller, self.caller = self.caller, None
        if caller is not None:
            caller.fail(error)

    def eof_received(self) -> None:
        self.pool.retire(self)  # at once: its loss is reported later

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.retire(self)
        self.pool.sides.discard(self)
        caller, self.caller = self.caller, None
        if caller is None:
            return
        if self.state is BODY:
            if self._body.until_close and error is None:
                caller.answer_ended()
            else:
                caller.cut()
        elif self._retry is not None and cast(RequestHead, caller.request).repeatable:
            # It was idle too long. Nothing has been answered, and every byte is at hand.
            self.pool.connect().start(caller, self._retry)
        else:
            caller.fail(self.pool.broken("closed the connection without an answer"))

    @property
    def takes_more(self) -> bool:
        """Whether more of a body may be sent."""
        return self.state is not CONNECTING and not self._full

    def pause_writing(self) -> None:
        self._full = True
        caller = self.caller
        if caller is not None and caller.state is BODY:
            caller.deadline = NEVER
            caller.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        caller = self.caller
        if caller is not None and caller.state is BODY:
            caller.await_body()
            caller.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        caller = self.caller
        if caller is None:  # an answer that nobody asked for
            self.drop()
            return
        if caller.half_closed:
            caller.await_answer()
        if self.state is BODY:
            self._pass_back(caller, b"", data)
            return
        request = caller.request
        assert request is not None
        plain = caller.keep_alive and caller.state is ANSWER and request.minor
        if plain and self._parser.is_whole(data, request.method):
            self._retry = None
            caller.transport.write(data)
            self._finish(caller, True)
            return
        try:
            self._read_head(caller, request, data)
        except Malformed as error:
            self.drop()
            caller.fail(self.pool.broken(f"did not answer properly: {error}"))

    # --- the answer

    def _read_head(self, caller: CallerSide, request: RequestHead, data: bytes) -> None:
        self._retry = None  # it is being answered
        head, rest = self._parser.feed(data, request.method)
        while head is not None and head.status < 200:
            if head.status == 101:
                raise Malformed("it changed the protocol")
            if request.minor:
                request.expects = request.expects and head.status != 100
                caller.transport.write(head.raw)
            head, rest = self._parser.feed(rest, request.method)
        if head is None:
            return
        minor = request.minor
        if caller.state is BODY and request.expects:
            caller.keep_alive = False  # whether the body will come after this, nobody knows
        if head.length is None and not (head.chunked and minor):
            caller.keep_alive = False  # only closing the connection tells where the answer ends
        raw = head.raw
        if not (head.clean and minor and caller.keep_alive):
            raw = head.forwarded(keep_alive=caller.keep_alive, minor=minor)
        self.state = BODY
        self._body = head.body(minor)
        self._reusable = head.keep_alive
        caller.answering = True
        self._pass_back(caller, raw, rest)

    def _pass_back(self, caller: CallerSide, head: bytes, data: bytes) -> None:
        """Write `head` and that part of `data` which belongs to the answer; see whether it ends."""
        body = self._body
        try:
            part, used = body.feed(data)
        except Malformed:
            self.drop()
            caller.cut()
            return
        if head or part:
            caller.transport.write(head + part if head else part)
        if body.ended:
            self._finish(caller, self._reusable and used == len(data))

    def _finish(self, caller: CallerSide, reusable: bool) -> None:
        self.caller = None
        if reusable and caller.state is ANSWER and not self.pool.closed:
            self.pool.put(self)
            if caller.full:
                self.transport.resume_reading()
        else:
            self.drop()
        caller.answer_ended()


class Pool:
    """Connections to one upstream; the one used last is used next."""

    def __init__(
        self, name: str, open_side: Callable[[UpstreamSide], Awaitable[object]], timeout: float
    ) -> None:
        self.name = name
        self.closed = False
        self.tasks: asyncio.TaskGroup | None = None  # set as long as the lane listens
        self._open_side = open_side
        self._timeout = timeout
        self.sides: set[UpstreamSide] = set()
        self._idle: list[UpstreamSide] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._reachable = True

    def take(self) -> UpstreamSide:
        """An idle connection, or one in the making."""
        return self._idle.pop() if self._idle else self.connect()

    def put(self, side: UpstreamSide) -> None:
        side.state = IDLE
        side.idle_since = monotonic()
        self._idle.append(side)

    def connect(self) -> UpstreamSide:
        """A connection in the making."""
        side = UpstreamSide(self)
        self.sides.add(side)
        task = cast(asyncio.TaskGroup, self.tasks).create_task(self._open(side))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return side

    def retire(self, side: UpstreamSide) -> None:
        """Let nobody take this connection any more."""
        if side.state is IDLE and side in self._idle:
            self._idle.remove(side)

    def broken(self, what: str) -> UpstreamBroken:
        return UpstreamBroken(f"upstream [{self.name}] {what}")

    def close_idle(self, before: float) -> None:
        """Close connections that are idle since before a time."""
        for side in [side for side in self._idle if side.idle_since < before]:
            side.drop()

    async def close(self) -> None:
        self.closed = True
        for task in self._connecting:
            task.cancel()
        for side in list(self.sides):
            side.drop()
        await gone(self.sides)

    async def _open(self, side: UpstreamSide) -> None:
        error: ProxyError
        try:
            async with asyncio.timeout(self._timeout):
                await self._open_side(side)
        except asyncio.CancelledError:
            self.sides.discard(side)
            raise
        except TimeoutError:
            error = UpstreamTimedOut(f"upstream [{self.name}] did not accept a connection in time")
            reason = "timed out"
        except OSError as failure:
            error = UpstreamUnavailable(f"upstream [{self.name}] cannot be reached")
            reason = failure.strerror or type(failure).__name__
        else:
            self._reachable = True
            return
        if self._reachable:  # once, not for each caller
            log.warning("cannot connect to upstream [%s]: %s", self.name, reason)
        self._reachable = False
        self.sides.discard(side)
        side.connection_failed(error)


async def gone(connections: Collection[object]) -> None:
    """Wait until the loop has closed connections that were aborted: it takes a turn or two."""
    while connections:  # noqa: ASYNC110 - no event is worth a turn
        await asyncio.sleep(0)
