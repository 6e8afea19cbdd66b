"""What listens for callers, and looks after their connections and the pools behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import astuple
from functools import partial
from ssl import SSLContext
from time import monotonic

from proxy.config import LimitsConfig
from proxy.ground.interception import Everything, Interception
from proxy.ground.steps import Steps
from proxy.http1 import Forwarding, Parsers
from proxy.lane.caller import CallerSide
from proxy.lane.connecting import ApplicationPool, to_node
from proxy.lane.expiry import expire
from proxy.lane.handshakes import Arrival, Handshakes
from proxy.lane.held import MOST_HELD, Held
from proxy.lane.pool import Cluster, NodePool, Pool
from proxy.lane.states import HELD_LIMIT, NEVER, Patience
from proxy.upstream.nodes import Node

SHORTEST_TICK, LONGEST_TICK = 0.01, 1.0  # seconds between two looks at the deadlines


class Lane:
    """Listens for callers; sends what is intercepted to the application, and the rest upstream.

    `application` makes aiohttp's server protocols (a `web.Server` is such a factory); it gets the
    requests that `interception` takes. Each node of the upstream may have `most` connections, made
    within `connect_timeout` seconds; `ssl` is for those that speak https. Without a node, the
    application gets everything.
    """

    def __init__(
        self,
        *,
        upstream: Iterable[Node],
        application: Callable[[], asyncio.Protocol],
        interception: Interception,
        limits: LimitsConfig,
        connect_timeout: float,
        most: float,
        forwarding: Forwarding,
        ssl: SSLContext | None,
        patience: Patience,
    ) -> None:
        self.interception = interception
        self.limits = limits
        self.forwarding = forwarding
        self.patience = patience
        self.parsers = Parsers()
        self.steps = Steps()
        self.held = Held()
        self.draining = False
        self.callers: set[CallerSide] = set()
        self.keepalive_deadline = NEVER  # for a caller that is idle from now on
        nodes = [
            NodePool(node, to_node(node.name, ssl), timeout=connect_timeout, most=most)
            for node in upstream
        ]
        self.application = ApplicationPool(application)
        self.upstream: Pool | Cluster = self.application
        if nodes:
            self.upstream = Cluster(nodes) if len(nodes) > 1 else nodes[0]
        self._pools = [*nodes, self.application]
        self._handshakes: list[Handshakes] = []  # for each listener that speaks TLS
        self._servers: list[asyncio.Server] = []
        self._listening = AsyncExitStack()  # what is open as long as the lane listens
        self._left = asyncio.Event()  # set when the last caller has left
        self._tick = _tick_for(limits, patience)
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of_application(
        cls, application: Callable[[], asyncio.Protocol], limits: LimitsConfig
    ) -> Lane:
        """A lane that forwards nothing."""
        return cls(
            upstream=(),
            application=application,
            interception=Everything(),
            limits=limits,
            connect_timeout=NEVER,
            most=NEVER,
            forwarding=Forwarding(),
            ssl=None,
            patience=Patience(),
        )

    async def listen(
        self, host: str, port: int, *, reuse_port: bool = False, ssl: SSLContext | None = None
    ) -> tuple[str, int]:
        """Accept callers, until `drain`; the bound address. `ssl` is what callers are to speak.

        A fault in the lane ends the task that calls this.
        Raises: OSError when the address cannot be had.
        """
        server = await asyncio.get_running_loop().create_server(
            self._make_caller if ssl is None else self._shaking_hands(ssl),
            host,
            port,
            backlog=1024,
            reuse_port=reuse_port or None,
            start_serving=False,
        )
        if not self._servers:
            await self._open_pools()
        self._servers.append(server)
        await server.start_serving()
        address = server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    def _make_caller(self) -> CallerSide:
        return CallerSide(self, self.callers)

    def _shaking_hands(self, ssl: SSLContext) -> Callable[[], asyncio.Protocol]:
        """As `_make_caller`, for callers who have to shake hands first."""
        handshakes = Handshakes(ssl, self._make_caller, time=self.limits.head_timeout)
        self._handshakes.append(handshakes)
        return lambda: Arrival(handshakes, lambda: self.connections >= self.limits.connections)

    @property
    def connections(self) -> int:
        """How many callers are connected, with those who have not finished their handshake."""
        return len(self.callers) + sum(map(len, self._handshakes))

    async def drain(self, timeout: float) -> None:
        """Stop accepting, finish what is under way for at most `timeout` seconds, then cut."""
        self.draining = True
        for server in self._servers:
            server.close()
        for handshakes in self._handshakes:
            handshakes.close()
        for caller in list(self.callers):
            caller.end_when_idle()
        try:
            async with asyncio.timeout(timeout):
                await self._until_all_left()
        except TimeoutError:
            for caller in list(self.callers):
                caller.cut()
            await self._until_all_left()
        await self._listening.aclose()

    def caller_left(self) -> None:
        if not self.callers:
            self._left.set()

    async def _until_all_left(self) -> None:
        while self.callers:
            self._left.clear()
            await self._left.wait()

    async def _open_pools(self) -> None:
        """Start what runs until the lane is drained; it ends in reverse."""
        tasks = await self._listening.enter_async_context(asyncio.TaskGroup())
        for handshakes in self._handshakes:
            handshakes.open(tasks)
        for pool in self._pools:
            pool.open(tasks)
            self._listening.push_async_callback(pool.close)
        self._sweep()
        self._listening.callback(self._stop_sweeping)

    # --- deadlines

    def _sweep(self) -> None:
        """Look for deadlines that have passed: one timer for all connections, not one for each."""
        now, patience = monotonic(), self.patience
        for caller in list(self.callers):
            if now >= caller.deadline or now >= caller.write_deadline:
                self.steps.put_off(partial(self._expire, caller))
        if len(self.callers) * HELD_LIMIT > MOST_HELD:  # even what may be sent again could be a lot
            for caller in list(self.callers):
                self.held.note(caller)
        self.held.look_again()
        for handshakes in self._handshakes:
            handshakes.sweep(now)
        for pool in self._pools:
            pool.sweep(idle_before=now - patience.idle, queued_before=now - patience.queue)
        self.keepalive_deadline = now + self.limits.keepalive_timeout
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._sweep)

    def _expire(self, caller: CallerSide) -> None:
        """Act on a deadline, of which many may have passed at the same time."""
        now = monotonic()
        if now >= caller.deadline or now >= caller.write_deadline:
            expire(caller)

    def _stop_sweeping(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _tick_for(limits: LimitsConfig, patience: Patience) -> float:
    """Seconds between two sweeps: a quarter of the shortest time that is bounded."""
    shortest = min(limits.head_timeout, limits.keepalive_timeout, *astuple(patience))
    return float(min(LONGEST_TICK, max(SHORTEST_TICK, shortest / 4)))
