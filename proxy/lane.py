"""The lane: the forwarding path, one small protocol per connection, bytes in and bytes out.

A caller's connection (`CallerSide`) is in one of five states:

    HEAD    a request head is awaited, or a part of it has come
    BODY    the head has gone on, its body is being passed on
    ANSWER  the whole request has gone on, its answer is awaited or being passed back
    REST    the answer came before the body ended: what is left of the body is dropped
    LINGER  our last byte has been written; what still comes is dropped until the caller closes

    HEAD ─→ BODY ─→ ANSWER ─→ HEAD …     a request without a body skips BODY
      │       ├─→ REST ─┼───→ HEAD …
      └───────┴─────────┴───→ LINGER     refused, or asked to close

A connection to whoever answers (`UpstreamSide`) is in one of four states, too:

    CONNECTING  what is to be sent waits
    HEAD        a request is under way, the head of its answer is awaited
    BODY        the body of the answer is being passed back
    IDLE        in the pool, nobody's

The application behind the lane is one more upstream: its pool makes socket pairs, gives one end to
aiohttp's server and drives the other exactly like a connection to Elasticsearch.

Three rules keep it honest. A side whose peer takes no more bytes stops reading its own: nothing is
held but one read and one write buffer. A side that is lost amid a message aborts its peer, with a
reset, so that half a message never looks whole. And what is decided, and how messages are framed,
stands in `proxy.wire`; here bytes are moved.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import socket
import struct
from collections.abc import Awaitable, Callable, Collection
from dataclasses import astuple, dataclass
from ssl import SSLContext
from time import monotonic
from typing import Final, cast

from yarl import URL

from proxy import wire
from proxy.config import LimitsConfig
from proxy.errors import (
    IllegalArgument,
    ProxyError,
    StatusError,
    UpstreamBroken,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from proxy.wire import Body, Malformed, RequestHead

log = logging.getLogger(__name__)

State = enum.Enum("State", ("HEAD", "BODY", "ANSWER", "REST", "LINGER", "CONNECTING", "IDLE"))
# As globals: an attribute of an Enum costs three times as much, and these are compared all day.
HEAD, BODY, ANSWER, REST, LINGER, CONNECTING, IDLE = State

NEVER: Final = math.inf
HELD_LIMIT: Final = 64 * 1024  # bytes of pipelined requests, or of a request kept for a retry
_DOUBTFUL: Final = frozenset((400, 413, 431))
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the lane waits, in seconds, where the configuration does not say."""

    body: float = 60.0  # for the next `limits.body_rate` bytes of each second of a body
    reader: float = 300.0  # for a caller who does not read its answer
    half_closed: float = 1.0  # for the next bytes of the answer to a caller who has closed its side
    linger: float = 5.0  # for a caller to close after our last byte, or to end an answered body
    idle: float = 30.0  # that an upstream connection stays in the pool


class CallerSide(asyncio.Protocol):
    """One caller's connection. Answers go out in order: one request is under way at a time."""

    transport: asyncio.Transport

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.state = HEAD
        self.request: RequestHead | None = None  # the one under way, or the last one
        self.upstream: UpstreamSide | None = None  # who answers it
        self.keep_alive = True  # whether another request may follow it
        self.answering = False  # whether the head of its answer has been passed back
        self.full = False  # whether the transport wants no more writes
        self.half_closed = False  # whether the caller has closed its side
        self.deadline = monotonic() + lane.limits.head_timeout  # for what has to happen next
        self.taken = 0  # bytes of the body since the deadline was set
        self.write_deadline = NEVER  # for the caller to read
        self._parser = wire.RequestParser(lane.limits.head)
        self._body: Body | None = None
        self._begun = False  # whether a part of a head has come
        self._held = b""  # pipelined requests

    # --- events of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.lane.callers.add(self)
        if self.lane.draining:
            self.end_when_idle()

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is HEAD:
            self._read_head(data)
        elif state is BODY:
            self._read_body(data)
        elif state is ANSWER:
            self._hold(data)
        elif state is REST:
            self._drop_rest(data)

    def eof_received(self) -> bool:
        """Whether to keep our side open: the request is whole and its answer may be near.

        A caller that hung up looks the same, so the answer has to come, and go on, soon.
        """
        if self.state is not ANSWER or self.transport.get_extra_info("sslcontext"):
            return False
        self.half_closed = True
        self.await_answer()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.state = LINGER
        self._drop_upstream()
        self.lane.forget(self)

    def pause_writing(self) -> None:
        self.full = True
        self.write_deadline = monotonic() + self.lane.patience.reader
        if self.upstream is not None:
            self.upstream.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        self.write_deadline = NEVER
        if self.upstream is not None:
            self.upstream.resume_reading()

    # --- the request

    def _read_head(self, data: bytes) -> None:
        try:
            head, rest = self._parser.feed(data)
            if head is not None:
                self._begin(head, rest)
            elif not self._begun and self._parser.reading:
                self._begun = True
                self.deadline = monotonic() + self.lane.limits.head_timeout
        except Malformed as error:
            self.refuse(IllegalArgument(f"invalid HTTP request: {error}"))
        except ProxyError as error:
            self.refuse(error)

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        lane = self.lane
        self.request = head
        self._begun = False
        self.keep_alive = head.keep_alive and not lane.draining
        self.answering = False
        data = head.onward
        if head.body_length == 0:
            self.await_answer()
            if rest:
                self._hold(rest)
        else:
            self.state = BODY
            sized = head.body_length is not None
            self._body = wire.SizedBody(head.body_length or 0) if sized else wire.RechunkedBody()
            self.await_body()
            data += self._take_body(self._body, rest)
        pool = lane.application if head.inference else lane.upstream
        pool.take().start(self, data)

    def _read_body(self, data: bytes) -> None:
        try:
            part = self._take_body(cast(Body, self._body), data)
        except Malformed as error:
            self.refuse(IllegalArgument(f"invalid HTTP request: {error}"))
            return
        if part and self.upstream is not None:
            self.upstream.send(part)

    def _take_body(self, body: Body, data: bytes) -> bytes:
        part, used = body.feed(data)
        self.taken += used
        if body.ended:
            self.await_answer()
            if used < len(data):
                self._hold(data[used:])
        return part

    def _drop_rest(self, data: bytes) -> None:
        """Go on behind the body of a request that was answered early, as Elasticsearch does."""
        try:
            self._take_body(cast(Body, self._body), data)
        except Malformed:
            self._linger()
            return
        if self.state is ANSWER:
            self.answer_ended()

    def _hold(self, data: bytes) -> None:
        """Keep pipelined requests until the one under way is answered."""
        self._held += data
        if len(self._held) > HELD_LIMIT:
            self.transport.pause_reading()

    def await_body(self) -> None:
        self.taken = 0
        self.deadline = monotonic() + self.lane.patience.body

    def await_answer(self) -> None:
        """The request is whole, or the next part of its answer has come."""
        self.state = ANSWER
        wait = self.lane.patience.half_closed
        self.deadline = monotonic() + wait if self.half_closed else NEVER

    # --- the answer

    def answer_ended(self) -> None:
        """The answer's last byte has been written: go on with the next request, or close."""
        self.upstream = None
        if self.state is BODY and self.keep_alive:
            self.state = REST
            self.deadline = monotonic() + self.lane.patience.linger
            self.transport.resume_reading()
        elif self.state is not ANSWER or not self.keep_alive:
            self._linger()
        elif self._held:
            data, self._held = self._held, b""
            self.state = HEAD
            self.deadline = monotonic() + self.lane.limits.head_timeout
            self.transport.resume_reading()
            self.data_received(data)
        elif self.half_closed or self.lane.draining:
            self._close()
        else:
            self.state = HEAD
            self.deadline = self.lane.keepalive_deadline

    def fail(self, error: ProxyError) -> None:
        """The upstream did not answer: say so, or cut the connection if it had begun to."""
        self.upstream = None
        if self.answering:
            self.cut()
            return
        self.keep_alive = self.keep_alive and self.state is ANSWER
        self._write_error(error)
        self.answer_ended()

    def refuse(self, error: ProxyError) -> None:
        """Answer a request that is not passed on, or not to its end; and read no further."""
        self._drop_upstream()
        if self.state is HEAD:
            self.request = None
        elif self.answering:
            self.cut()
            return
        self.keep_alive = False
        self._write_error(error)
        self._linger()

    def cut(self) -> None:
        """Abort with a reset, so that what was written does not look like a whole answer."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._drop_upstream()
        self.transport.abort()

    def _write_error(self, error: ProxyError) -> None:
        method, minor = b"", 0
        if self.request is not None:
            method, minor = self.request.method, self.request.minor
        self.keep_alive = self.keep_alive and minor == 1
        self.transport.write(wire.error_answer(error, method=method, keep_alive=self.keep_alive))

    def _close(self) -> None:
        """Nothing more is read, and nothing is under way that could be lost by it."""
        self.state = LINGER
        self.deadline = monotonic() + self.lane.patience.reader
        self.transport.close()

    def _linger(self) -> None:
        """Close our side, and drop what still comes: closing both could reset the answer."""
        self._held = b""
        self.state = LINGER
        self.deadline = monotonic() + self.lane.patience.linger
        if self.half_closed or not self.transport.can_write_eof():
            self._close()
        else:
            self.transport.write_eof()
            self.transport.resume_reading()

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.drop()

    # --- time

    def expire(self) -> None:
        """A deadline has passed."""
        if self.state is HEAD and self._parser.reading:
            self.refuse(StatusError(408, "the request's head did not come in time"))
        elif self.state is BODY and self.taken >= self._least():
            self.await_body()
        elif self.state is BODY and not self.full:
            self.refuse(StatusError(408, "the request's body did not come in time"))
        elif self.state is REST:
            self._linger()
        elif self.state is LINGER and self.full and monotonic() < self.write_deadline:
            self.deadline = monotonic() + self.lane.patience.linger  # not all is read yet
        elif self.state is ANSWER and self.full and monotonic() < self.write_deadline:
            self.await_answer()  # half closed, and reading slowly
        elif self.state is HEAD:
            self.transport.abort()
        else:
            self.cut()

    def _least(self) -> float:
        """The bytes of a body that are due until its deadline; one at least."""
        return max(1.0, self.lane.limits.body_rate * self.lane.patience.body)

    def end_when_idle(self) -> None:
        """Draining: close now, or after the answer under way."""
        self.keep_alive = False
        if self.state is HEAD and not self._parser.reading:
            self._close()


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

    def pause_writing(self) -> None:
        caller = self.caller
        if caller is not None and caller.state is BODY:
            caller.deadline = NEVER
            caller.transport.pause_reading()

    def resume_writing(self) -> None:
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
        # Elasticsearch may keep a connection whose head it gave up on (400), and answer no more.
        self._reusable = head.keep_alive and head.status not in _DOUBTFUL
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


class Lane:
    """Listens for callers; `_inference` goes to the application, everything else upstream.

    `application` makes aiohttp's server protocols (a `web.Server` is such a factory); without one,
    everything goes upstream. `ssl` is for an https upstream.
    """

    def __init__(
        self,
        *,
        upstream: URL,
        application: Callable[[], asyncio.Protocol] | None,
        limits: LimitsConfig,
        connect_timeout: float,
        ssl: SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.limits = limits
        self.patience = patience or Patience()
        self.draining = False
        self.callers: set[CallerSide] = set()
        self._url = upstream
        self._ssl = (ssl or True) if upstream.scheme == "https" else None
        self.upstream = Pool(str(upstream.origin()), self._connect, connect_timeout)
        self.application = self.upstream
        self.keepalive_deadline = NEVER  # for a caller that is idle from now on
        self._pools = [self.upstream]
        if application is not None:
            self._serve = application
            self.application = Pool("application", self._pair, connect_timeout)
            self._pools.append(self.application)
        self._servers: list[asyncio.Server] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def listen(
        self, host: str, port: int, *, reuse_port: bool = False, ssl: SSLContext | None = None
    ) -> tuple[str, int]:
        """Accept callers; the bound address. `ssl` is what callers are spoken to with.

        Raises: OSError when the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: CallerSide(self),
            host,
            port,
            backlog=1024,
            reuse_port=reuse_port or None,
            ssl=ssl,
            start_serving=False,
        )
        if self._tasks is None:
            # Held open until `drain`: a fault in it ends the task that called `listen`.
            self._tasks = await asyncio.TaskGroup().__aenter__()
            for pool in self._pools:
                pool.tasks = self._tasks
            self._sweep()
        self._servers.append(server)
        await server.start_serving()
        address = server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def drain(self, timeout: float) -> None:
        """Stop accepting, finish what is under way for at most `timeout` seconds, then cut."""
        self.draining = True
        for server in self._servers:
            server.close()
        for caller in list(self.callers):
            caller.end_when_idle()
        try:
            async with asyncio.timeout(timeout):
                await self._until_empty()
        except TimeoutError:
            for caller in list(self.callers):
                caller.cut()
            await gone(self.callers)
        for pool in self._pools:
            await pool.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._tasks is not None:
            await self._tasks.__aexit__(None, None, None)
            self._tasks = None

    def forget(self, caller: CallerSide) -> None:
        self.callers.discard(caller)
        if not self.callers:
            self._empty.set()

    async def _until_empty(self) -> None:
        while self.callers:
            self._empty.clear()
            await self._empty.wait()

    async def _connect(self, side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        host, port = cast(str, self._url.host), cast(int, self._url.port)
        await loop.create_connection(lambda: side, host, port, ssl=self._ssl)

    async def _pair(self, side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await loop.connect_accepted_socket(self._serve, theirs)
        await loop.connect_accepted_socket(lambda: side, ours)

    def _sweep(self) -> None:
        """Look for deadlines that have passed: one timer for all connections, not one for each."""
        now = monotonic()
        for caller in list(self.callers):
            if now >= caller.deadline or now >= caller.write_deadline:
                caller.expire()
        for pool in self._pools:
            pool.close_idle(now - self.patience.idle)
        limits, patience = self.limits, astuple(self.patience)
        shortest = min(limits.head_timeout, limits.keepalive_timeout, *patience)
        tick = min(1.0, max(0.01, shortest / 4))
        self.keepalive_deadline = now + self.limits.keepalive_timeout
        self._sweep_timer = asyncio.get_running_loop().call_later(tick, self._sweep)
