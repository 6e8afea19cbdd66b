"""The connections to one node, and which node of a cluster is asked."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from contextvars import Context
from operator import attrgetter
from typing import Any, Final, cast

from proxy.ground.errors import ProxyError, Rejected, UpstreamTimedOut
from proxy.lane import sides
from proxy.lane.states import CONNECTING, IDLE
from proxy.lane.upstream import UpstreamSide
from proxy.upstream.nodes import LATE, Node

Connect = Callable[[UpstreamSide], Awaitable[object]]


class Pool(ABC):
    """Connections to whoever answers; the one used last is used next.

    When `most` connections are in use, requests wait for their turn. `bounds_answers` says whether
    an answer must come within `Patience.answer`.
    """

    def __init__(self, node: Node, *, most: float, bounds_answers: bool) -> None:
        self.node = node
        self.sides: set[sides.Connection] = set()  # connected, or connecting
        self._most = most
        self._bounds_answers = bounds_answers
        self._cluster: Cluster | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._closed = False
        self._idle: list[sides.Connection] = []
        self._queue: deque[UpstreamSide] = deque()  # requests that wait; not in `sides`
        self._connecting: set[asyncio.Task[None]] = set()

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Connect in these tasks from now on, until `close`."""
        self._tasks = tasks

    def join(self, cluster: Cluster) -> None:
        """Belong to a cluster, whose other nodes can answer what this one can."""
        self._cluster = cluster

    @property
    def has_others(self) -> bool:
        return self._cluster is not None

    @property
    def load(self) -> int:
        """Requests under way, or waiting."""
        return len(self.sides) - len(self._idle) + len(self._queue)

    # --- connections given out, and taken back

    def take(self) -> sides.Connection:
        """An idle connection, or one that is being made, or one that waits for its turn."""
        if self._idle:
            return self._idle.pop()
        if len(self.sides) < self._most:
            return self.connect()
        side = UpstreamSide(self)
        self._queue.append(side)
        return side

    def take_other(self, tried: tuple[sides.Pool, ...], *, live: bool) -> sides.Connection | None:
        """As `take`, to another node than this one and those `tried`; None if there is none.

        `live`: only to a node that is thought to do better.
        """
        if self._cluster is None or self._closed:
            return None
        return self._cluster.take_other((*tried, self), live=live)

    def connect(self) -> UpstreamSide:
        """A connection that is being made."""
        side = UpstreamSide(self)
        self.begin(side)
        return side

    def put(self, side: sides.Connection) -> None:
        if self._closed:
            side.drop()
        elif self._queue:
            self._queue.popleft().hand_over(side)
        else:
            self._idle.append(side)

    def retire(self, side: sides.Connection) -> None:
        if side.state is IDLE and side in self._idle:
            self._idle.remove(side)
        elif side.state is CONNECTING and side in self._queue:
            self._queue.remove(cast(UpstreamSide, side))

    def forget(self, side: sides.Connection) -> None:
        self.retire(side)
        self.sides.discard(side)

    def fill_up(self) -> None:
        """Begin connections for requests that wait, as far as there is room for more."""
        while self._queue and len(self.sides) < self._most and not self._closed:
            self.begin(self._queue.popleft())

    # --- what callers are told

    def look_into(self, what: str, tell: Callable[[ProxyError], None]) -> bool:
        if self._closed or not self.node.probe.may_tell:
            return False
        self._start(self._look_into(what, tell))
        return True

    async def _look_into(self, what: str, tell: Callable[[ProxyError], None]) -> None:
        tell(await self.node.unanswered(what))

    def late_answer(self) -> UpstreamTimedOut | None:
        if not self._bounds_answers:
            return None
        self.node.report(LATE)
        return UpstreamTimedOut(f"{self.node.shown} {LATE}")

    # --- time, and the end

    def sweep(self, *, idle_before: float, queued_before: float) -> None:
        """Close what has been idle for too long, refuse what has waited for too long.

        Also try a node again that was passed over, when it is time for that.
        """
        for side in [side for side in self._idle if side.since < idle_before]:
            side.drop()
        while self._queue and self._queue[0].since < queued_before:
            self._queue.popleft().connection_failed(
                Rejected(
                    f"{self.node.shown} has no connection free: all [{self._most}] are in use",
                    "upstream_connections",
                )
            )
        if not self._closed and len(self.sides) < self._most and self.node.claim_retry():
            self.connect()

    async def close(self) -> None:
        """Close all connections, and wait until they are."""
        self._closed = True
        for task in self._connecting:
            task.cancel()
        for side in list(self.sides):
            side.drop()
        while self.sides:  # noqa: ASYNC110 - the loop closes what was aborted in a turn or two
            await asyncio.sleep(0)

    # --- connecting

    @abstractmethod
    def begin(self, side: UpstreamSide) -> None:
        """Have the connection of a side made."""

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # Whoever asks for a connection may do so amid another request, whose context is not theirs.
        task = cast(asyncio.TaskGroup, self._tasks).create_task(work, context=Context())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)


class NodePool(Pool):
    """Connections to one node; `connect` makes that of a side, for at most `timeout` seconds."""

    def __init__(self, node: Node, connect: Connect, *, timeout: float, most: float) -> None:
        super().__init__(node, most=most, bounds_answers=True)
        self._connect = connect
        self._timeout = timeout

    def begin(self, side: UpstreamSide) -> None:
        self.sides.add(side)
        self._start(self._open(side))

    async def _open(self, side: UpstreamSide) -> None:
        error: ProxyError
        was_wanted = side.caller is not None
        try:
            async with asyncio.timeout(self._timeout):
                await self.node.vet()
                await self._connect(side)
        except asyncio.CancelledError:
            self.sides.discard(side)
            raise
        except TimeoutError:
            self.node.was_unreachable("timed out")
            error = UpstreamTimedOut(f"{self.node.shown} did not accept a connection in time")
        except OSError as failure:
            error = self.node.unreachable(failure)
        else:
            if not was_wanted:
                self.node.was_reached()
            return
        self.forget(side)
        side.connection_failed(error)
        self.fill_up()


class Cluster:
    """The pools of several nodes: the one with the least to do is asked, each in its turn."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._pools = deque(pools)
        for pool in self._pools:
            pool.join(self)

    def take(self) -> sides.Connection:
        """As `Pool.take`."""
        return self._next(self._pools).take()

    def take_other(self, tried: tuple[sides.Pool, ...], *, live: bool) -> sides.Connection | None:
        """As `Pool.take_other`."""
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
