"""Lanes for tests, alone and between callers and an upstream that the test plays itself."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
import uvloop
from aiohttp import web
from yarl import URL

from proxy.config import LimitsConfig
from proxy.ground.interception import Interception
from proxy.http1 import Forwarding
from proxy.lane import Lane, Patience
from proxy.upstream.nodes import Nodes
from tests.support.peers import GET, MIB, OK, Peer


def make_lane(*upstream: URL | str, **options: Any) -> Lane:
    """A lane before the nodes at these URLs; `options` are those of `Lane`.

    Without an `application` it forwards everything.
    """
    options.setdefault("interception", Interception() if "application" in options else _Nothing())
    defaults: dict[str, Any] = {
        "application": _no_application,
        "limits": LimitsConfig(),
        "connect_timeout": 1,
        "most": math.inf,
        "forwarding": Forwarding(),
        "ssl": None,
        "patience": Patience(),
    }
    return Lane(upstream=Nodes(*upstream), **{**defaults, **options})


class _Nothing(Interception):
    def takes(self, method: bytes, target: bytes) -> bool:
        return False


def _no_application() -> asyncio.Protocol:
    raise AssertionError("this lane forwards everything")


LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


PATIENT: Final = Patience(body=30, reader=30, half_closed=5, linger=30, idle=30)


class World:
    """A lane between callers and an upstream, both played by the test."""

    def __init__(self, lane: Lane, address: tuple[str, int], upstream: asyncio.Server) -> None:
        self.lane = lane
        self.address = address
        self.upstream = upstream
        self.connections = 0  # that the upstream has accepted
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.callers: list[Peer] = []
        self.peers: list[Peer] = []  # that the upstream has accepted

    async def caller(self, **options: Any) -> Peer:
        peer = Peer(*await asyncio.open_connection(*self.address, **options))
        self.callers.append(peer)
        return peer

    async def accept(self) -> Peer:
        """The next connection that the lane makes to the upstream."""
        return await self.accepted.get()

    async def exchange(self, caller: Peer, request: bytes = GET, answer: bytes = OK) -> Peer:
        """Have a request answered on a new upstream connection, which is idle then."""
        await caller.send(request)
        peer = await self.accept()
        await peer.head()
        await peer.send(answer)
        assert await caller.read(len(answer)) == answer
        return peer

    async def wait(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


async def idle_handler(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("not for the application")


@contextlib.asynccontextmanager
async def build(
    *,
    limits: LimitsConfig,
    patience: Patience,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None,
    connect_timeout: float,
) -> AsyncIterator[World]:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, fault: faults.append(fault))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        world.peers.append(peer)
        world.connections += 1
        await world.accepted.put(peer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4 * MIB)
    host, port = server.sockets[0].getsockname()[:2]
    runner = web.ServerRunner(web.Server(handler or idle_handler, handler_cancellation=True))
    await runner.setup()
    lane = make_lane(
        f"http://{host}:{port}",
        application=runner.server,
        limits=limits,
        connect_timeout=connect_timeout,
        patience=patience,
    )
    world = World(lane, await lane.listen("127.0.0.1", 0), server)
    try:
        yield world
    finally:
        for peer in world.callers:
            peer.reset()
        await lane.drain(1)
        assert not lane.callers
        await runner.cleanup()
        server.close()
        for peer in world.callers + world.peers:
            await peer.close()
    assert faults == [], faults


def lane_test(
    limits: LimitsConfig | None = None,
    patience: Patience = PATIENT,
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None,
    connect_timeout: float = 5,
):
    """Run a test in a world of its own, on each kind of loop."""

    def decorate(test):
        async def scenario(**arguments):
            async with asyncio.timeout(60):
                async with build(
                    limits=limits or LimitsConfig(),
                    patience=patience,
                    handler=handler,
                    connect_timeout=connect_timeout,
                ) as world:
                    await test(world, **arguments)

        def run(loop, **arguments):
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(scenario(**arguments))

        names = ["loop", *list(inspect.signature(test).parameters)[1:]]
        kind = inspect.Parameter.KEYWORD_ONLY
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
        vars(run).update(__signature__=signature, pytestmark=getattr(test, "pytestmark", []))
        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return pytest.mark.parametrize("loop", LOOPS)(run)

    return decorate
