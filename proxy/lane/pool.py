"""Who is asked: the connections to one node, and the nodes of a cluster."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from operator import attrgetter
from time import monotonic
from typing import Final, cast

from proxy.errors import ProxyError, Rejected, UpstreamBroken, UpstreamTimedOut, UpstreamUnavailable
from proxy.lane.states import CONNECTING, IDLE
from proxy.lane.upstream import UpstreamSide
from proxy.upstream.nodes import Node


class Pool:
    """Connections to one node, or to the application; the one used last is used next.

    When `most` are in use, requests wait for their turn.
    """

    def __init__(
        self,
        node: Node,
        open_side: Callable[[UpstreamSide], Awaitable[object]],
        timeout: float,
        most: float = math.inf,
    ) -> None:
        self.node = node
        self.closed = False
        self.tasks: asyncio.TaskGroup | None = None  # set as long as the lane listens
        self.sides: set[UpstreamSide] = set()
        self._cluster: Cluster | None = None
        self._open_side = open_side
        self._timeout = timeout
        self._most = most
        self._idle: list[UpstreamSide] = []
        self._queue: deque[UpstreamSide] = deque()  # not connected, nor in `sides`
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def has_others(self) -> bool:
        """Whether other nodes can serve what this one can."""
        return self._cluster is not None

    @property
    def load(self) -> int:
        """Requests under way, or waiting."""
        return len(self.sides) - len(self._idle) + len(self._queue)

    def take(self) -> UpstreamSide:
        """An idle connection, or one in the making, or one that waits for its turn."""
        if self._idle:
            return self._idle.pop()
        if len(self.sides) < self._most:
            return self.connect()
        side = UpstreamSide(self)
        side.since = monotonic()
        self._queue.append(side)
        return side

    def put(self, side: UpstreamSide) -> None:
        """Let others use a connection that nobody uses any more."""
        if self.closed:
            side.drop()
            return
        side.tried = ()
        if self._queue:
            side.take_over(self._queue.popleft())
            return
        side.state = IDLE
        side.since = monotonic()
        self._idle.append(side)

    def connect(self) -> UpstreamSide:
        """A connection in the making."""
        side = UpstreamSide(self)
        self._begin(side)
        return side

    def elsewhere(self, tried: Sequence[Pool], *, live: bool) -> UpstreamSide | None:
        """As `take`, to another node than this one and those `tried`; None if there is none.

        `live`: only where the node is thought to do better.
        """
        if self._cluster is None or self.closed:
            return None
        return self._cluster.take_other((*tried, self), live=live)

    def join(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def retire(self, side: UpstreamSide) -> None:
        """Let nobody take this connection any more."""
        if side.state is IDLE and side in self._idle:
            self._idle.remove(side)
        elif side.state is CONNECTING and side in self._queue:
            self._queue.remove(side)

    def forget(self, side: UpstreamSide) -> None:
        """It is closed."""
        self.retire(side)
        self.sides.discard(side)

    def fill_up(self) -> None:
        """Let connections begin that wait for others to end."""
        while self._queue and len(self.sides) < self._most and not self.closed:
            self._begin(self._queue.popleft())

    def broken(self, what: str) -> UpstreamBroken:
        return UpstreamBroken(f"upstream [{self.node.name}] {what}")

    def sweep(self, *, idle_before: float, queued_before: float) -> None:
        """Close what is idle for too long, refuse what waits for too long, try what was away."""
        for side in [side for side in self._idle if side.since < idle_before]:
            side.drop()
        while self._queue and self._queue[0].since < queued_before:
            self._queue.popleft().connection_failed(
                Rejected(
                    f"upstream [{self.node.name}] has no connection free: all "
                    f"[{self._most}] are in use",
                    "upstream_connections",
                )
            )
        if not self.closed and len(self.sides) < self._most and self.node.claim_retry():
            self.connect()

    async def close(self) -> None:
        self.closed = True
        for task in self._connecting:
            task.cancel()
        for side in list(self.sides):
            side.drop()
        await gone(self.sides)

    def _begin(self, side: UpstreamSide) -> None:
        self.sides.add(side)
        task = cast(asyncio.TaskGroup, self.tasks).create_task(self._open(side))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self, side: UpstreamSide) -> None:
        error: ProxyError
        name = self.node.name
        was_wanted = side.caller is not None
        try:
            async with asyncio.timeout(self._timeout):
                await self._open_side(side)
        except asyncio.CancelledError:
            self.sides.discard(side)
            raise
        except TimeoutError:
            error = UpstreamTimedOut(f"upstream [{name}] did not accept a connection in time")
            reason = "timed out"
        except OSError as failure:
            error = UpstreamUnavailable(f"upstream [{name}] cannot be reached")
            reason = failure.strerror or type(failure).__name__
        else:
            if not was_wanted:
                self.node.was_reached()
            return
        self.node.was_unreachable(reason)
        self.forget(side)
        side.connection_failed(error)
        self.fill_up()


class Cluster:
    """The pools of several nodes: the one that has least to do is asked, each in its turn."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._pools = deque(pools)
        for pool in self._pools:
            pool.join(self)

    def take(self) -> UpstreamSide:
        """As `Pool.take`."""
        return self._next(self._pools).take()

    def take_other(self, tried: tuple[Pool, ...], *, live: bool) -> UpstreamSide | None:
        left = [pool for pool in self._pools if pool not in tried]
        if live:
            left = [pool for pool in left if pool.node.live]
        if not left:
            return None
        return self._next(left).take()

    def _next(self, pools: Collection[Pool]) -> Pool:
        live = [pool for pool in pools if pool.node.live]
        self._pools.rotate(1)
        return min(live or pools, key=_LOAD)


_LOAD: Final = attrgetter("load")


async def gone(connections: Collection[object]) -> None:
    """Wait until the loop has closed connections that were aborted: it takes a turn or two."""
    while connections:  # noqa: ASYNC110 - no event is worth a turn
        await asyncio.sleep(0)
