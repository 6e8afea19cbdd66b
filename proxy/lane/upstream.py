"""A connection to whoever answers: a node of Elasticsearch, or the application."""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import cast

from proxy import http1
from proxy.ground.errors import ProxyError
from proxy.ground.tlsfailures import TLS_ALERT, tls_problem
from proxy.http1 import AnswerHead, Body, Malformed, RequestHead
from proxy.lane import sides
from proxy.lane.states import (
    ANSWER,
    ANSWERING,
    ASKED,
    BODY,
    CONNECTING,
    HELD_LIMIT,
    IDLE,
    INTERIM_LIMIT,
    NEVER,
)
from proxy.upstream.nodes import UNAVAILABLE


class UpstreamSide(asyncio.Protocol):
    """One connection to whoever answers, serving one request at a time."""

    transport: asyncio.Transport

    def __init__(self, pool: sides.Pool) -> None:
        self.pool = pool
        self.state = CONNECTING
        self.caller: sides.Caller | None = None
        self.since = monotonic()  # when it became idle, or was made
        self._tried: tuple[sides.Pool, ...] = ()  # nodes that have failed the request under way
        self._unsent: list[bytes] = []  # of the request, as long as there is no connection
        self._retry: bytes | None = None  # the whole request so far, if it may be sent again
        self._parser = http1.AnswerParser()
        self._body: Body = http1.EndlessBody()
        self._used = False  # whether it has been idle
        self._reusable = False  # whether the connection outlives the answer
        self._full = False  # whether the transport takes no more writes
        self._begun = False  # whether a part of the answer has come
        self._interim = 0  # answers 1xx to the request under way
        self._unread = b""  # of an answer: many small chunks, which are read in turns to come

    @property
    def address(self) -> str:
        """Where the caller is; empty when there is none any more."""
        peer = self.caller and self.caller.transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    # --- the request

    def start(self, caller: sides.Caller, data: bytes) -> None:
        self.caller = caller
        if self.state is CONNECTING:
            self._unsent.append(data)
            caller.note_held()
            if caller.state is BODY:
                caller.pause_body()
            return
        self.state = ASKED
        self._used = True
        self._begun = False
        self._retry = data if len(data) <= HELD_LIMIT or caller.second_look else None
        self.transport.write(data)
        if caller.full:
            self.transport.pause_reading()

    def send(self, data: bytes) -> None:
        if self.state is CONNECTING:
            self._unsent.append(data)
            return
        if self._retry is not None:
            kept = self._retry + data
            self._retry = kept if len(kept) <= HELD_LIMIT else None
        self.transport.write(data)

    def drop(self) -> None:
        self.caller = None
        self.pool.retire(self)
        if self.state is CONNECTING:
            self._unsent.clear()
        else:
            self.transport.abort()

    def hand_over(self, other: sides.Connection, sent: bytes | None = None) -> None:
        """Let another connection serve the caller; `sent` is its request, if it has been sent."""
        caller, self.caller = cast(sides.Caller, self.caller), None
        data = b"".join(self._unsent) if sent is None else sent
        failed = () if other.pool is self.pool else (self.pool,)
        other.take_over(caller, data, self._tried + failed)

    def take_over(self, caller: sides.Caller, data: bytes, tried: tuple[sides.Pool, ...]) -> None:
        self._tried = tried
        caller.served_by(self)
        self.start(caller, data)
        if caller.state is BODY and self.takes_more:
            caller.resume_body()

    @property
    def held(self) -> int:
        waits = sum(map(len, self._unsent)) + len(self._unread) + len(self._retry or b"")
        if self.state is not CONNECTING:
            waits += self.transport.get_write_buffer_size()
        return waits

    # --- flow

    @property
    def takes_more(self) -> bool:
        return self.state is not CONNECTING and not self._full

    def pause_writing(self) -> None:
        self._full = True
        if self.caller is not None and self.caller.state is BODY:
            self.caller.pause_body()
            self.caller.note_held()

    def resume_writing(self) -> None:
        self._full = False
        if self.caller is not None and self.caller.state is BODY:
            self.caller.resume_body()

    def pause_reading(self) -> None:
        if self.state is not CONNECTING:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._unread and self.caller is not None:
            self.caller.steps.put_off(self._read_on)
        elif self.state is not CONNECTING:
            self.transport.resume_reading()

    # --- the connection is made, or lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        caller = self.caller
        if caller is None:  # it has left meanwhile, or this connection is a try
            self.state = IDLE
            self.pool.put(self)
            return
        self.state = ASKED
        data = b"".join(self._unsent)
        self._unsent.clear()
        if caller.second_look or (len(data) <= HELD_LIMIT and self.pool.has_others):
            self._retry = data
        self.transport.write(data)
        if self.takes_more:
            caller.resume_body()
        if caller.full:
            self.transport.pause_reading()

    def connection_failed(self, error: ProxyError) -> None:
        """There is no connection to be had; nothing has been sent."""
        if self.caller is None or self._moved(None):
            return
        caller, self.caller = self.caller, None
        caller.fail(error)

    def eof_received(self) -> None:
        self.pool.retire(self)  # before `connection_lost`, which the loop calls a turn later

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.forget(self)
        caller = self.caller
        if caller is not None and not (self.state is ASKED and self._sent_again(caller)):
            self._break_off(caller, error)
        self.pool.fill_up()

    def give_up(self, error: ProxyError) -> None:
        """Tell the caller, if it is still there, that there is no answer."""
        caller, self.caller = self.caller, None
        if caller is not None:
            caller.fail(error)

    def _break_off(self, caller: sides.Caller, error: Exception | None) -> None:
        if self.state is not ANSWERING:
            self._end_unanswered(caller, error)
            return
        if self._unread and error is None:  # it had sent all of it
            self._pass_back(caller, b"", self._unread, sys.maxsize)
            if self.caller is None:
                return
        self.caller = None
        if self._body.until_close and error is None:
            caller.answer_ended()
        else:
            caller.cut()

    def _end_unanswered(self, caller: sides.Caller, error: Exception | None) -> None:
        why = tls_problem(error)
        what = f"closed the connection without an answer{f': {why}' if why else ''}"
        if not self.pool.look_into(what, self.give_up):
            self.give_up(self.pool.node.broken(what))
        elif caller.state is BODY:
            caller.pause_body()

    def _sent_again(self, caller: sides.Caller) -> bool:
        """Whether the request goes once more: no answer came, and every byte is at hand."""
        if self._retry is None or self._begun:
            return False
        if not cast(RequestHead, caller.request).repeatable:
            return False
        if not self._used:
            return self._moved(self._retry)
        self.hand_over(self.pool.connect(), self._retry)  # this one was closed while it was idle
        return True

    def _moved(self, sent: bytes | None, *, live: bool = False) -> bool:
        """Whether another node serves the caller from now on; arguments are passed on."""
        other = self.pool.take_other(self._tried, live=live)
        if other is None:
            return False
        self.hand_over(other, sent)
        return True

    # --- the answer

    def data_received(self, data: bytes) -> None:
        caller = self.caller
        if caller is None:  # an answer to no request
            self.drop()
            return
        if caller.deadline != NEVER and caller.state is ANSWER:
            caller.await_answer()
        if self.state is ANSWERING:
            self._pass_back(caller, b"", data, self._body.chunks_at_once)
            return
        request = caller.request
        assert request is not None
        plain = caller.keep_alive and caller.state is ANSWER and request.minor
        if plain and self._parser.is_complete(data, request.method, caller.second_look):
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
            if data.startswith(TLS_ALERT):
                caller.fail(self.pool.node.speaks_tls())
            else:
                caller.fail(self.pool.node.broken(f"did not answer properly: {error}"))

    def _read_head(self, caller: sides.Caller, request: RequestHead, data: bytes) -> None:
        self._begun = True
        head, rest = self._parser.feed(data, request.method)
        while head is not None and head.status < 200:
            if head.status == 101:
                raise Malformed("it changed the protocol")
            self._interim += 1
            if self._interim > INTERIM_LIMIT:
                raise Malformed(f"it sent more than [{INTERIM_LIMIT}] interim answers")
            if not caller.second_look:
                self._retry = None
            caller.pass_interim(head)
            head, rest = self._parser.feed(rest, request.method)
        self.pool.node.probe.rule_out()  # or the parser had refused it
        if head is None:
            return
        sent, self._retry = self._retry, None
        if self._asked_another(head, request, sent):
            return
        self._interim = 0
        self.state = ANSWERING
        self._body = head.body(request.minor)
        self._reusable = head.keep_alive
        self._pass_back(caller, caller.begin_answer(head), rest, http1.CHUNKS_AT_ONCE)

    def _asked_another(self, head: AnswerHead, request: RequestHead, sent: bytes | None) -> bool:
        """Whether another node, or the application, is asked, as it may have a better answer.

        `sent` is the request, as long as it may be sent again.
        """
        node = self.pool.node
        if head.status not in UNAVAILABLE:
            if node.strikes:
                node.did_well()
            return head.refuses and sent is not None and self._taken_back(sent)
        if not self.pool.has_others:
            return False
        node.did_badly(head.status)
        if sent is None or not request.repeatable or not self._moved(sent, live=True):
            return False
        self.drop()
        return True

    def _taken_back(self, sent: bytes) -> bool:
        """Whether the application answers the request that was refused."""
        caller = cast(sides.Caller, self.caller)
        other = caller.taken_back(sent) if caller.second_look else None
        if other is None:
            return False
        self.hand_over(other, sent)
        self.drop()
        return True

    def _pass_back(self, caller: sides.Caller, head: bytes, data: bytes, chunks: int) -> None:
        """Write `head` and what of `data` belongs to the answer; see whether that is its end."""
        body = self._body
        try:
            part, used = body.feed(data, chunks)
        except Malformed:
            self.drop()
            caller.cut()
            return
        if head or part:
            caller.transport.write(head + part if head else part)
        if body.ended:
            self._finish(caller, self._reusable and used == len(data))
        elif used < len(data):
            self._unread = data[used:]
            self.transport.pause_reading()
            caller.steps.put_off(self._read_on)
            caller.note_held()

    def _read_on(self) -> None:
        """Pass back what was put off, unless the caller takes nothing more for now."""
        caller = self.caller
        if caller is None or caller.full or not self._unread:
            return
        data, self._unread = self._unread, b""
        self.transport.resume_reading()
        self._pass_back(caller, b"", data, http1.CHUNKS_AT_ONCE)

    def _finish(self, caller: sides.Caller, reusable: bool) -> None:
        self.caller = None
        if reusable and caller.state is ANSWER:
            if caller.full:
                self.transport.resume_reading()
            self.state = IDLE
            self.since = monotonic()
            self._tried = ()
            self.pool.put(self)
        else:
            self.drop()
        caller.answer_ended()

    def late_answer(self) -> ProxyError | None:
        return self.pool.late_answer()
