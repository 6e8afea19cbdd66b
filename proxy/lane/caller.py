"""A caller's connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from proxy import http1
from proxy.errors import IllegalArgument, ProxyError, Rejected, StatusError, UpstreamTimedOut
from proxy.http1 import Body, Malformed, RequestHead
from proxy.lane.states import ANSWER, BODY, HEAD, HELD_LIMIT, LINGER, NEVER, REST

if TYPE_CHECKING:
    from proxy.lane.listener import Lane
    from proxy.lane.pool import Cluster, Pool
    from proxy.lane.upstream import UpstreamSide

CHUNKS_AT_ONCE: Final = 32 * 1024  # bytes of small chunks
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


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
        self._parser = http1.RequestParser(lane.limits.head)
        self._body: Body | None = None
        self._begun = False  # whether a part of a head has come
        self._held = b""  # pipelined requests
        self._target: bytes | None = None  # of the last request, and who answers it:
        self._pool: Pool | Cluster = lane.upstream

    # --- events of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        callers = self.lane.callers
        callers.add(self)
        forwarding = self.lane.forwarding
        if not forwarding.changes_nothing:
            peer = str(transport.get_extra_info("peername")[0])
            scheme = b"https" if transport.get_extra_info("sslcontext") else b"http"
            self._parser.rewrite = partial(forwarding.applied, peer=peer, scheme=scheme)
        if len(callers) > self.lane.limits.connections:
            self._turn_away()
        elif self.lane.draining:
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
        elif self.state is ANSWER:
            self.answer_ended()  # it had ended before

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
            self._body = http1.SizedBody(head.body_length or 0) if sized else http1.RechunkedBody()
            self.await_body()
            data += self._take_body(self._body, rest)
        if head.target is not self._target:  # a head that comes again is the same object
            self._target = head.target
            self._pool = lane.application if lane.intercepts(head.target) else lane.upstream
        self._pool.take().start(self, data)

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
        elif used > CHUNKS_AT_ONCE and len(part) < 0.98 * used:
            self._let_others_read()
        return part

    def _let_others_read(self) -> None:
        """Many small chunks take long to read, and the loop would go on with this connection."""
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.read_on)

    def read_on(self) -> None:
        """Read more of a body, if somebody takes it."""
        waits = self.upstream is not None and not self.upstream.takes_more
        if self.state is REST or (self.state is BODY and not waits):
            self.transport.resume_reading()

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
        patience = self.lane.patience
        wait = patience.half_closed if self.half_closed else patience.answer
        self.deadline = NEVER if wait == NEVER else monotonic() + wait

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
        elif self.full:
            return  # the next request is taken when this answer is: answers must not pile up
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
        self.transport.write(http1.error_answer(error, method=method, keep_alive=self.keep_alive))

    def _turn_away(self) -> None:
        """There are too many connections for one more."""
        most = self.lane.limits.connections
        self.keep_alive = False
        self._write_error(Rejected(f"all of [{most}] connections are in use", "connections"))
        self._close()

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
        elif self.state is ANSWER and not self.half_closed:
            self._answer_is_late()
        else:
            self.cut()

    def _answer_is_late(self) -> None:
        pool = cast("UpstreamSide", self.upstream).pool
        if self.lane.is_application(pool):
            self.deadline = NEVER  # it has time-outs of its own
        else:
            name = pool.node.name
            self.refuse(UpstreamTimedOut(f"upstream [{name}] did not answer in time"))

    def _least(self) -> float:
        """The bytes of a body that are due until its deadline; one at least."""
        return max(1.0, self.lane.limits.body_rate * self.lane.patience.body)

    def end_when_idle(self) -> None:
        """Draining: close now, or after the answer under way."""
        self.keep_alive = False
        if self.state is HEAD and not self._parser.reading:
            self._close()
