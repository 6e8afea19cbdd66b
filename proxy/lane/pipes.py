"""Connections within the process, without sockets: what one end writes, the other one receives.

An end is a transport like any other, flow control included. What it writes is received at once, as
long as its peer reads: no system call, and no turn of the event loop, stands between. Only what is
written while the other direction is receiving waits for the next turn, so that a protocol is never
called amid one of its own calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

_PIECE: Final = 64 * 1024  # bytes that are received at once, so that a peer can pause between
_HIGH: Final = 64 * 1024  # bytes that may wait before writing pauses, as of asyncio's transports


def connect(*make: Callable[[], asyncio.BaseProtocol]) -> None:
    """Make two protocols, and connect them to each other."""
    loop = asyncio.get_running_loop()
    first, second = (_End(loop, cast(asyncio.Protocol, made())) for made in make)
    first.peer, second.peer = second, first
    first.protocol.connection_made(first)
    second.protocol.connection_made(second)


class _End(asyncio.Transport):
    """One end of a connection."""

    peer: _End

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self.protocol = protocol
        self._waiting: deque[memoryview] = deque()  # written, and not received yet
        self._size = 0  # bytes of it
        self._high, self._low = _HIGH, _HIGH // 4
        self._full = False  # whether the protocol is to write no more
        self._flushes = False  # whether the loop is going to call `_flush`
        self._reads = True
        self._receives = False  # whether the protocol is being called
        self._closing = False
        self._is_lost = False

    # --- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        peer = self.peer
        is_busy = self._receives or peer._receives
        if peer._reads and not is_busy and not self._waiting and len(data) <= _PIECE:
            peer._receive(bytes(data))
            return
        view = memoryview(bytes(data))
        self._waiting.extend(view[at : at + _PIECE] for at in range(0, len(view), _PIECE))
        self._size += len(data)
        self._flush_soon()
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        if self._size > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def _flush_soon(self) -> None:
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        while self._waiting and self.peer._reads:
            piece = self._waiting.popleft()
            self._size -= len(piece)
            self.peer._receive(bytes(piece))
        if self._full and self._size <= self._low:
            self._full = False
            self.protocol.resume_writing()
        if self._closing and not self._waiting:
            self._lose()

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause_if_full()

    def can_write_eof(self) -> bool:
        return False

    # --- reading

    def _receive(self, data: bytes) -> None:
        if self._closing:
            return
        self._receives, failed = True, True
        try:
            self.protocol.data_received(data)
            failed = False
        finally:
            self._receives = False
            if failed:
                self.abort()

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        if self.peer._waiting:
            self.peer._flush_soon()

    # --- the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._waiting:
                self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self._closing = True
        self._waiting.clear()
        self._size = 0
        self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.protocol.connection_lost(None)
        if not self.peer._is_lost:
            self._loop.call_soon(self.peer._peer_has_closed)

    def _peer_has_closed(self) -> None:
        if not self._closing:
            self.protocol.eof_received()
        self.abort()

    # --- of every transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol
