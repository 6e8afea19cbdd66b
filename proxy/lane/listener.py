"""What listens for callers, and looks after their connections and the pools behind them."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from ssl import SSLContext
from time import monotonic
from typing import cast

from yarl import URL

from proxy.config import LimitsConfig
from proxy.http1 import Forwarding
from proxy.lane.caller import CallerSide
from proxy.lane.pool import Cluster, Pool, gone
from proxy.lane.states import NEVER, Patience
from proxy.lane.upstream import UpstreamSide
from proxy.limits.calls import address_of_caller
from proxy.upstream.nodes import Node, Nodes


class Lane:
    """Listens for callers; sends what is intercepted to the application, and the rest upstream.

    `application` makes aiohttp's server protocols (a `web.Server` is such a factory); it gets the
    requests whose raw target `intercepts` takes. `ssl` is for an https upstream, and `most` the
    connections that each of its nodes may have.
    """

    def __init__(
        self,
        *,
        upstream: Nodes,
        application: Callable[[], asyncio.Protocol],
        intercepts: Callable[[bytes], bool],
        limits: LimitsConfig,
        connect_timeout: float,
        most: float = math.inf,
        forwarding: Forwarding | None = None,
        ssl: SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.limits = limits
        self.forwarding = forwarding or Forwarding()
        self.patience = patience or Patience()
        self.draining = False
        self.callers: set[CallerSide] = set()
        self.keepalive_deadline = NEVER  # for a caller that is idle from now on
        self._ssl = ssl
        self._pools = [
            Pool(node, partial(self._connect, node.name), connect_timeout, most)
            for node in upstream
        ]
        self.upstream: Pool | Cluster = self._pools[0]
        if len(self._pools) > 1:
            self.upstream = Cluster(self._pools)
        self.intercepts = intercepts
        self._serve = application
        self.application = Pool(Node("application"), self._pair, connect_timeout)
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

    def is_application(self, pool: Pool) -> bool:
        return pool is self.application

    def forget(self, caller: CallerSide) -> None:
        self.callers.discard(caller)
        if not self.callers:
            self._empty.set()

    async def _until_empty(self) -> None:
        while self.callers:
            self._empty.clear()
            await self._empty.wait()

    async def _connect(self, node: str, side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        url = URL(node)
        host, port = cast(str, url.host), cast(int, url.port)
        ssl = (self._ssl or True) if url.scheme == "https" else None
        await loop.create_connection(lambda: side, host, port, ssl=ssl)

    async def _pair(self, side: UpstreamSide) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        address_of_caller.set(lambda: side.address)  # seen by what serves `theirs`, alone
        await loop.connect_accepted_socket(self._serve, theirs)
        await loop.connect_accepted_socket(lambda: side, ours)

    def _sweep(self) -> None:
        """Look for deadlines that have passed: one timer for all connections, not one for each."""
        now = monotonic()
        for caller in list(self.callers):
            if now >= caller.deadline or now >= caller.write_deadline:
                caller.expire()
        limits, patience = self.limits, self.patience
        for pool in self._pools:
            pool.sweep(idle_before=now - patience.idle, queued_before=now - patience.queue)
        shortest = min(limits.head_timeout, limits.keepalive_timeout, *astuple(patience))
        tick = min(1.0, max(0.01, shortest / 4))
        self.keepalive_deadline = now + self.limits.keepalive_timeout
        self._sweep_timer = asyncio.get_running_loop().call_later(tick, self._sweep)
