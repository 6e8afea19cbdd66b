"""A caller's connection: its flow control, its deadlines, and all the ways to end it."""

from __future__ import annotations

import asyncio
import socket
import struct
from time import monotonic
from typing import Final

from proxy import http1
from proxy.ground.errors import ProxyError, Rejected
from proxy.http1 import RequestHead
from proxy.lane import sides
from proxy.lane.states import HEAD, LINGER, NEVER

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class CallerConnection(asyncio.Protocol):
    """What a caller's connection needs whatever comes on it.

    `AnsweringConnection` adds the answers, and `CallerSide` the requests.
    """

    transport: asyncio.Transport

    def __init__(self, lane: sides.Lane) -> None:
        self.lane = lane
        self.steps = lane.steps
        self.state = HEAD
        self.request: RequestHead | None = None  # the one under way, or the last one
        self.upstream: sides.Upstream | None = None  # who answers it
        self.answering = False  # whether the head of its answer has been written
        self.keep_alive = True  # whether another request may follow it
        self.full = False  # whether the transport takes no more writes
        self.half_closed = False  # whether the caller has closed its side
        self.deadline = monotonic() + lane.limits.head_timeout  # for what has to happen next
        self.write_deadline = NEVER  # for the caller to read what is written

    # --- flow

    def pause_writing(self) -> None:
        self.full = True
        self.note_held()
        self.write_deadline = monotonic() + self.lane.patience.reader
        if self.upstream is not None:
            self.upstream.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        self.write_deadline = NEVER
        self.note_held()
        if self.upstream is not None:
            self.upstream.resume_reading()

    def resume_reading(self) -> None:
        """Read more of what the caller sends."""
        self.transport.resume_reading()

    def note_held(self) -> None:
        """More is kept for the caller than before."""
        self.lane.held.note(self)

    @property
    def held(self) -> int:
        """Bytes that are kept for the caller."""
        mine: int = self.transport.get_write_buffer_size()
        return mine if self.upstream is None else mine + self.upstream.held

    def let_go(self) -> None:
        """Keep nothing more for the caller, as all together hold too much."""
        if self.full or self.state is LINGER:
            self.cut()
        else:
            self.refuse(Rejected("callers' connections hold too many bytes together", "held"))

    @property
    def may_read_on(self) -> bool:
        """Whether the caller has not read all that was written, and still has time to do so."""
        return self.full and monotonic() < self.write_deadline

    def expect_within(self, seconds: float) -> None:
        """Set the deadline for what has to happen next."""
        self.deadline = monotonic() + seconds

    # --- errors

    def refuse(self, error: ProxyError) -> None:
        """Answer a request that is not passed on, or not to its end; and read no further."""
        self.drop_upstream()
        if self.state is HEAD:
            self.request = None
        elif self.answering:
            self.cut()
            return
        self.keep_alive = False
        self.write_error(error)
        self.linger()

    def write_error(self, error: ProxyError) -> None:
        """Answer the request under way with an error; without one, as if it were a GET."""
        method, minor = b"", 0
        if self.request is not None:
            method, minor = self.request.method, self.request.minor
        self.keep_alive = self.keep_alive and minor == 1
        self.transport.write(http1.error_answer(error, method=method, keep_alive=self.keep_alive))

    # --- the end

    def close(self) -> None:
        """Close once all is written, where no request is under way that could be lost by it."""
        self.state = LINGER
        self.expect_within(self.lane.patience.reader)
        self.transport.close()

    def linger(self) -> None:
        """Close our side only, and drop what still comes until the caller closes, too.

        Closing a socket with unread bytes resets the connection, which could cost the caller the
        answer that it has not read yet. Source: RFC 9112 section 9.6.
        """
        self.state = LINGER
        self.expect_within(self.lane.patience.linger)
        if self.half_closed or not self.transport.can_write_eof():
            self.close()
        else:
            self.transport.write_eof()
            self.resume_reading()

    def cut(self) -> None:
        """Abort with a reset, so that what was written does not look like a whole answer."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.drop_upstream()
        self.transport.abort()

    def drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.drop()
