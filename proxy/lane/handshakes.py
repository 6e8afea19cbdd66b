"""TCP connections to a listener that speaks TLS, until their handshakes are over."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext
from time import monotonic
from typing import cast


class Handshakes:
    """Has callers shake hands within `time` seconds, and makes a protocol for each who has done so.

    The loop itself would tell of a connection only when its handshake is over, which may be never.
    Nothing but a socket is kept for one on which nothing has come. A handshake takes about a
    millisecond, and one is begun in each turn of the loop.
    """

    def __init__(
        self, ssl: SSLContext, make: Callable[[], asyncio.Protocol], *, time: float
    ) -> None:
        self._ssl = ssl
        self._make = make
        self._time = time
        self._silent: dict[socket.socket, float] = {}  # deadlines of those that have sent nothing
        self._ready: deque[tuple[socket.socket, float]] = deque()  # those that have
        self._begun: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._silent) + len(self._ready) + len(self._begun)

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Shake hands in these tasks from now on, until `close`."""
        self._tasks = tasks

    def take(self, transport: asyncio.Transport) -> None:
        """Wait for a handshake on an accepted connection, whose transport is replaced."""
        with suppress(OSError):  # there is no file left
            connection = transport.get_extra_info("socket").dup()
            connection.setblocking(False)
            self._silent[connection] = monotonic() + self._time
            asyncio.get_running_loop().add_reader(connection, self._came, connection)
        transport.abort()

    def sweep(self, now: float) -> None:
        """Close the connections on which nothing has come in time."""
        for connection in [one for one, deadline in self._silent.items() if now >= deadline]:
            self._forget(connection)
            connection.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._silent):
            self._forget(connection)
            connection.close()
        while self._ready:
            self._ready.popleft()[0].close()
        for task in self._begun:
            task.cancel()

    def _forget(self, connection: socket.socket) -> float:
        asyncio.get_running_loop().remove_reader(connection)
        return self._silent.pop(connection)

    def _came(self, connection: socket.socket) -> None:
        deadline = self._forget(connection)
        try:
            is_there = bool(connection.recv(1, socket.MSG_PEEK))
        except OSError:
            is_there = False
        if not is_there:  # it was closed
            connection.close()
            return
        self._ready.append((connection, deadline))
        if len(self._ready) == 1:
            asyncio.get_running_loop().call_soon(self._begin_next)

    def _begin_next(self) -> None:
        if self._ready:
            work = self._shake_hands(*self._ready.popleft())
            task = cast(asyncio.TaskGroup, self._tasks).create_task(work)
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)
        if self._ready:
            asyncio.get_running_loop().call_soon(self._begin_next)

    async def _shake_hands(self, connection: socket.socket, deadline: float) -> None:
        left = max(0.001, deadline - monotonic())
        with suppress(OSError):  # among them TLS errors; the caller has left, or was too slow
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, connection, ssl=self._ssl, ssl_handshake_timeout=left
            )


class Arrival(asyncio.Protocol):
    """Takes the connections that a listener accepts to `Handshakes`, or to nobody if `full`."""

    def __init__(self, handshakes: Handshakes, full: Callable[[], bool]) -> None:
        self._handshakes = handshakes
        self._full = full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast(asyncio.Transport, transport)
        if self._full():
            accepted.abort()
        else:
            self._handshakes.take(accepted)
