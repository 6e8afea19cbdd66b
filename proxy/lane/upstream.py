"""A connection to whoever answers: a node of Elasticsearch, or the application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from proxy import http1
from proxy.errors import ProxyError
from proxy.http1 import AnswerHead, Body, Malformed, RequestHead
from proxy.lane.states import ANSWER, BODY, CONNECTING, HEAD, HELD_LIMIT, NEVER
from proxy.upstream.nodes import UNAVAILABLE

if TYPE_CHECKING:
    from proxy.lane.caller import CallerSide
    from proxy.lane.pool import Pool


class UpstreamSide(asyncio.Protocol):
    """One connection to whoever answers, serving one request at a time."""

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.state = CONNECTING
        self.caller: CallerSide | None = None
        self.since = NEVER  # when it became idle, or began to wait for its turn
        self.tried: tuple[Pool, ...] = ()  # the nodes that have failed the request under way
        self._waiting: list[bytes] = []  # to be sent once there is a connection
        self._retry: bytes | None = None  # the whole request so far, if it may be sent again
        self._parser = http1.AnswerParser()
        self._body: Body = http1.EndlessBody()
        self._used = False  # whether it has been idle
        self._reusable = False  # whether the connection outlives the answer
        self._full = False  # whether the transport wants no more writes

    @property
    def address(self) -> str:
        """Of the caller that is served; empty when it has gone."""
        peer = self.caller and self.caller.transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    # --- the request

    def start(self, caller: CallerSide, data: bytes) -> None:
        """Serve `caller`, whose request begins with `data`."""
        self.caller = caller
        caller.upstream = self
        if self.state is CONNECTING:
            self._waiting.append(data)
            if caller.state is BODY:
                caller.deadline = NEVER
                caller.transport.pause_reading()
            return
        self.state = HEAD
        self._used = True
        self._retry = data if len(data) <= HELD_LIMIT else None
        self.transport.write(data)
        if caller.full:
            self.transport.pause_reading()

    def take_over(self, other: UpstreamSide, data: bytes | None = None) -> None:
        """Serve the caller of another one, which has sent `data`, or nothing yet."""
        caller, other.caller = cast("CallerSide", other.caller), None
        self.tried = other.tried if other.pool is self.pool else (*other.tried, other.pool)
        self.start(caller, b"".join(other._waiting) if data is None else data)
        if self.state is not CONNECTING and caller.state is BODY:
            caller.await_body()
            caller.read_on()

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
        if self.state is CONNECTING:
            self._waiting.clear()
        else:
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
            self.pool.put(self)
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        if len(data) <= HELD_LIMIT and self.pool.has_others:
            self._retry = data
        if caller.state is BODY:
            caller.await_body()
        self.transport.write(data)
        caller.transport.resume_reading()
        if caller.full:
            self.transport.pause_reading()

    def connection_failed(self, error: ProxyError) -> None:
        """There is none to be had; nothing has been sent."""
        if self.caller is None or self._moved(None):
            return
        caller, self.caller = self.caller, None
        caller.fail(error)

    def eof_received(self) -> None:
        self.pool.retire(self)  # at once: its loss is reported later

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.forget(self)
        caller = self.caller
        if caller is not None and not (self.state is HEAD and self._sent_again(caller)):
            self._break_off(caller, error)
        self.pool.fill_up()

    def _break_off(self, caller: CallerSide, error: Exception | None) -> None:
        self.caller = None
        if self.state is not BODY:
            caller.fail(self.pool.broken("closed the connection without an answer"))
        elif self._body.until_close and error is None:
            caller.answer_ended()
        else:
            caller.cut()

    def _sent_again(self, caller: CallerSide) -> bool:
        """Whether the request goes once more: no answer came, and every byte is at hand."""
        if self._retry is None or not cast(RequestHead, caller.request).repeatable:
            return False
        if not self._used:
            return self._moved(self._retry)
        self.pool.connect().take_over(self, self._retry)  # this one was idle too long
        return True

    def _moved(self, data: bytes | None, *, live: bool = False) -> bool:
        """Whether another node serves the caller now; `data` is what this one was sent."""
        other = self.pool.elsewhere(self.tried, live=live)
        if other is None:
            return False
        other.take_over(self, data)
        return True

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
        if caller.deadline != NEVER and caller.state is ANSWER:
            caller.await_answer()
        if self.state is BODY:
            self._pass_back(caller, b"", data)
            return
        request = caller.request
        assert request is not None
        plain = caller.keep_alive and caller.state is ANSWER and request.minor
        if plain and self._parser.is_whole(data, request.method):
            self._retry = None
            if self.pool.node.strikes:
                self.pool.node.did_well()
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
        sent, self._retry = self._retry, None  # it is being answered
        head, rest = self._parser.feed(data, request.method)
        while head is not None and head.status < 200:
            if head.status == 101:
                raise Malformed("it changed the protocol")
            sent = None
            if request.minor:
                request.expects = request.expects and head.status != 100
                caller.transport.write(head.raw)
            head, rest = self._parser.feed(rest, request.method)
        if head is None or not self._stands(head, request, sent):
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

    def _stands(self, head: AnswerHead, request: RequestHead, sent: bytes | None) -> bool:
        """Whether this is the answer that the caller gets: another node may have a better one."""
        node = self.pool.node
        if head.status not in UNAVAILABLE:
            if node.strikes:
                node.did_well()
            return True
        if not self.pool.has_others:
            return True
        node.did_badly(head.status)
        if sent is None or not request.repeatable or not self._moved(sent, live=True):
            return True
        self.drop()
        return False

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
        if reusable and caller.state is ANSWER:
            if caller.full:
                self.transport.resume_reading()
            self.pool.put(self)
        else:
            self.drop()
        caller.answer_ended()
