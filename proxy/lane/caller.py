"""A caller's connection: its requests are read, and sent to whoever answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from proxy import http1
from proxy.ground.errors import IllegalArgument, ProxyError, Rejected
from proxy.http1 import Body, Headers, Malformed, RequestHead
from proxy.lane import sides
from proxy.lane.answering import AnsweringConnection
from proxy.lane.states import ANSWER, BODY, BODY_RATE, HEAD, HELD_LIMIT, LINGER, NEVER, REST


class CallerSide(AnsweringConnection):
    """One caller's connection, with one request under way at a time."""

    _parser: http1.RequestParser

    def __init__(self, lane: sides.Lane, callers: set[CallerSide]) -> None:
        """`callers` are all that are connected: this one adds and removes itself."""
        super().__init__(lane)
        self._callers = callers
        self._head_begun = False  # whether a part of a head has come
        self._body: Body = http1.SizedBody(0)
        self._body_taken = 0  # bytes since its deadline was set
        self._unread = b""  # of the body: many small chunks, which are read in turns to come
        # Who answers is said by the target, and said anew when that or the generation is another.
        self._target: bytes | None = None  # of the last request
        self._generation: object = None  # of the interception, when it said so
        self._connections = lane.upstream  # to who answers, unless the body says otherwise
        self._looks_into = False  # whether the body may do so
        self.second_look = False  # whether it is looked into only once the upstream has refused it
        self._looks_first = False  # whether a second look has found one here: no more of them
        self._unrefused = b""  # what a body must not have in it to get a second look
        self._undecided = b""  # what has come of a request whose body is still to say who answers
        # The last of a request whose body could be read, and of one to this target that may wait.
        self._readable: RequestHead | None = None
        self._patient: RequestHead | None = None

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._callers.add(self)
        rewrite = self._rewrite()
        parsers = self.lane.parsers if rewrite is None else None
        self._parser = http1.RequestParser(self.lane.limits.head, rewrite, parsers)
        most = self.lane.limits.connections
        if len(self._callers) > most:
            self.keep_alive = False
            self.write_error(Rejected(f"all of [{most}] connections are in use", "connections"))
            self.close()
        elif self.lane.draining:
            self.end_when_idle()

    def _rewrite(self) -> Callable[[Headers], Headers] | None:
        """What is done to the headers that this caller sends, before they go upstream."""
        if self.lane.forwarding.changes_nothing:
            return None
        peer = str(self.transport.get_extra_info("peername")[0])
        scheme = b"https" if self.transport.get_extra_info("sslcontext") else b"http"
        return partial(self.lane.forwarding.applied, peer=peer, scheme=scheme)

    def connection_lost(self, error: Exception | None) -> None:
        self.state = LINGER
        self.deadline = self.write_deadline = NEVER  # one that has passed may still wait its turn
        self.drop_upstream()
        self._callers.discard(self)
        self.lane.held.forget(self)
        self.lane.caller_left()

    def end_when_idle(self) -> None:
        """Draining: close now, or after the answer under way."""
        self.keep_alive = False
        if self.state is HEAD and not self.reads_head:
            self.close()

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is HEAD:
            self._read_head(data)
        elif state is BODY:
            self._read_body(data, self._body.chunks_at_once)
        elif state is ANSWER:
            self._keep_for_later(data)
        elif state is REST:
            self._drop_rest(data, self._body.chunks_at_once)
        else:
            self._wait_for_turn()

    # --- the head of a request

    @property
    def reads_head(self) -> bool:
        """Whether a part of a head has come, and not yet the rest."""
        return self._parser.reading

    def _read_head(self, data: bytes) -> None:
        try:
            head, rest = self._parser.feed(data)
            if head is not None:
                self._begin(head, rest)
            else:
                self._await_head()
        except Malformed as error:
            self.refuse(IllegalArgument(f"invalid HTTP request: {error}"))
        except ProxyError as error:
            self.refuse(error)

    def _await_head(self) -> None:
        """Expect the rest of a head in time, counted from its first byte."""
        if not self._head_begun and self._parser.reading:
            self._head_begun = True
            self.expect_within(self.lane.limits.head_timeout)
        self.note_held()

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        lane = self.lane
        self.request = head
        self._head_begun = False
        self.keep_alive = head.keep_alive and not lane.draining
        self.answering = False
        data = head.encoded
        if len(rest) == head.body_length:  # all of it has come, and no more, as most requests come
            self.await_answer()
            data += rest
        elif head.body_length == 0:
            self.await_answer()
            self._keep_for_later(rest)
        else:
            self.state = BODY
            sized = head.body_length is not None
            self._body = http1.SizedBody(head.body_length or 0) if sized else http1.RechunkedBody()
            self.await_body()
            data += self._take_body(rest)
        # The parser gives the same object for a request line like the last one.
        generation = lane.interception.generation()
        if head.target is not self._target or generation is not self._generation:
            # But one byte alone is the same object wherever it comes from, which proves nothing.
            self._target = head.target if len(head.target) > 1 else None
            self._generation = generation
            ours = bool(head.own) or lane.interception.takes(head.method, head.target)
            self._connections = lane.application if ours else lane.upstream
            self._looks_into = not ours and lane.interception.looks_into(head.method, head.target)
            looks_late = self._looks_into and not self._looks_first
            unrefused = lane.interception.unrefused(head.target) if looks_late else None
            self.second_look, self._unrefused = unrefused is not None, unrefused or b""
            self._patient = None
        if (
            self._looks_into
            and not (  # as `_may_wait` says, without the call
                head is self._patient and self.state is ANSWER and data.rfind(self._unrefused) < 0
            )
            and head.body_length != 0
        ):
            self._decide(head, data)
        else:
            self._start(self._connections, data)

    def _start(self, connections: sides.Connections, data: bytes) -> None:
        upstream = self.upstream = connections.take()
        upstream.start(self, data)

    def _decide(self, head: RequestHead, data: bytes) -> None:
        """Start a request, `data` as far as it has come, once its body has said who answers it."""
        if self.state is BODY and _is_short(head):
            self._undecided = data
            return
        self._undecided = b""
        if self.second_look and not self._may_wait(head, data):
            self.second_look = False
            self._target = None  # so that it is said anew for the next request
        ours = not self.second_look and self._is_ours(head, data)
        self._start(self.lane.application if ours else self._connections, data)

    def _may_wait(self, head: RequestHead, data: bytes) -> bool:
        """Whether a request is looked into only if the upstream refuses it."""
        if not self._can_be_read(head):
            return False
        self._patient = head
        return data.rfind(self._unrefused) < 0

    def _is_ours(self, head: RequestHead, data: bytes) -> bool:
        """Whether the body of a request is one for the application, or cannot be read."""
        if not self._can_be_read(head):
            return True
        return self.lane.interception.takes_body(data, len(head.encoded))

    def _can_be_read(self, head: RequestHead) -> bool:
        if head is not self._readable:  # the parser gives the same one as long as its headers are
            sized = head.body_length is not None and not head.expects
            if not sized or self.lane.interception.hides_body(head.encoded):
                return False
            self._readable = head
        return self.state is ANSWER

    def taken_back(self, sent: bytes) -> sides.Connection | None:
        """Who answers the request `sent`, which was refused; None if the refusal stands."""
        if not self._is_ours(cast(RequestHead, self.request), sent):
            return None
        self._looks_first = True
        self.second_look = False
        self._target = None  # so that it is said anew for the next request
        return self.lane.application.take()

    def served_by(self, upstream: sides.Upstream) -> None:
        self.upstream = upstream

    @property
    def held(self) -> int:
        return super().held + len(self._unread) + self._parser.kept

    def linger(self) -> None:
        self._unread = b""
        self._parser.forget()
        super().linger()

    # --- its body

    def await_body(self) -> None:
        """Expect more of the body in time, counted from now."""
        self._body_taken = 0
        self.expect_within(self.lane.patience.body)

    @property
    def body_kept_pace(self) -> bool:
        """Whether enough of the body has come since its deadline was set; one byte at least."""
        return self._body_taken >= max(1.0, BODY_RATE * self.lane.patience.body)

    def pause_body(self) -> None:
        self.deadline = NEVER
        self.transport.pause_reading()

    def resume_body(self) -> None:
        if self.state is BODY:
            self.await_body()
        self.resume_reading()

    def resume_reading(self) -> None:
        if self._unread:
            self.steps.put_off(self._read_on)
        else:
            super().resume_reading()

    def _read_body(self, data: bytes, chunks: int) -> None:
        try:
            part = self._take_body(data, chunks)
        except Malformed as error:
            self.refuse(IllegalArgument(f"invalid HTTP request: {error}"))
            return
        if self._undecided:
            self._decide(cast(RequestHead, self.request), self._undecided + part)
        elif part and self.upstream is not None:
            self.upstream.send(part)

    def _drop_rest(self, data: bytes, chunks: int) -> None:
        """Look for the end of a body that was answered early, and go on behind it.

        Elasticsearch does the same.
        """
        try:
            self._take_body(data, chunks)
        except Malformed:
            self.linger()
            return
        if self.state is ANSWER:
            self.answer_ended()
        elif not self._unread:
            self._wait_for_turn()

    def _take_body(self, data: bytes, chunks: int = http1.CHUNKS_AT_ONCE) -> bytes:
        part, used = self._body.feed(data, chunks)
        self._body_taken += used
        if self._body.ended:
            self.await_answer()
            if used < len(data):
                self._keep_for_later(data[used:])
        elif used < len(data):
            self._unread = data[used:]
            self._wait_for_turn()
        return part

    def _wait_for_turn(self) -> None:
        """Read no more for now: what comes takes long to read, or is to be dropped."""
        self.transport.pause_reading()
        self.steps.put_off(self._read_on)
        if self._unread:
            self.note_held()

    def _read_on(self) -> None:
        """Read what was put off, unless the upstream takes nothing more for now."""
        if self.state is BODY and self.upstream is not None and not self.upstream.takes_more:
            return
        data, self._unread = self._unread, b""
        self.transport.resume_reading()
        if data and self.state is BODY:
            self._read_body(data, http1.CHUNKS_AT_ONCE)
        elif data and self.state is REST:
            self._drop_rest(data, http1.CHUNKS_AT_ONCE)


def _is_short(head: RequestHead) -> bool:
    """Whether a request is small enough to be kept until it is whole."""
    length = head.body_length
    return length is not None and len(head.encoded) + length <= HELD_LIMIT and not head.expects
