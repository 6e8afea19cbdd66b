"""An application that forwards requests; the test plays both its callers and its upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from yarl import URL

from proxy.config import UpstreamConfig
from proxy.ground.errors import NoInferenceFeature, ProxyError
from proxy.upstream.forward import Forwarder
from proxy.upstream.heads import head_of
from proxy.upstream.hooks import expect_continue, strip_additions
from tests.support.peers import MIB, Peer
from tests.support.upstreams import open_forwarder


class World:
    """What a test has at hand. A caller's X-Mode header chooses the application's handler:

    `own` answers itself, `fetch` keeps what the forwarder fetches in `fetched`, `inference` hands
    on as an `_inference` request that is not ours, `read` does so after reading the body into
    `fetched`; without it, everything is handed on.
    """

    def __init__(self, upstream: URL, forwarder: Forwarder) -> None:
        self.upstream = upstream
        self.forwarder = forwarder
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.connections = 0
        self.peers: list[Peer] = []
        self.address = ("", 0)
        self.fetched: Any = None

    async def caller(self, **options: Any) -> Peer:
        """A new connection to the application."""
        peer = Peer(*await asyncio.open_connection(*self.address, **options))
        self.peers.append(peer)
        return peer

    async def accept(self) -> Peer:
        """The next connection that the application makes to the upstream."""
        return await self.accepted.get()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        mode = request.headers.get("X-Mode")
        if mode == "own":
            return web.json_response({"own": True})
        if mode == "read":  # a handler that found out later that it is not its request
            self.fetched = await request.read()
        if mode == "fetch":
            self.fetched = await self.forwarder.fetch(request, "/_inference/_all?x=%2F")
            return web.json_response({})
        if mode is not None:
            return await self.forwarder.hand_on_inference(request, None)
        return await self.forwarder.hand_on(request)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self.connections += 1
        await self.accepted.put(peer)


@web.middleware
async def render_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        head_of(request)  # before routing counts: CONNECT has no path that a route could match
        return await handler(request)
    except ProxyError as error:
        response = web.json_response(error.envelope(), status=error.status)
        response.force_close()
        return response
    except NoInferenceFeature:
        return web.json_response({"feature": False}, status=299)


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await world.connected(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4 * MIB)
    upstream = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    config = UpstreamConfig(url=str(upstream), connect_timeout=5)
    async with open_forwarder(config, body_timeout=0.3) as forwarder:
        world = World(upstream, forwarder)
        runner = await _serving(world)
        try:
            yield world
        finally:
            for peer in world.peers:
                peer.reset()
            await runner.cleanup()
            server.close()


async def _strip_additions(request: web.Request, response: web.StreamResponse) -> None:
    strip_additions(request, response)


async def _serving(world: World) -> web.AppRunner:
    app = web.Application(
        middlewares=[render_errors],
        client_max_size=64 * MIB,
        handler_args={
            "auto_decompress": False,
            "handler_cancellation": True,
            "lingering_time": 0.1,  # seconds for the rest of a body that nobody reads
            "max_line_size": 65536,
            "max_field_size": 65536,
            "max_headers": 1000,
        },
    )
    app.router.add_route("*", r"/{tail:[\s\S]*}", world.handle, expect_handler=expect_continue)
    app.on_response_prepare.append(_strip_additions)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.address = runner.addresses[0][:2]
    return runner


async def error_of(caller: Peer, status: int) -> Any:
    """The `error` of the answer that the caller gets."""
    answer = await caller.rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status
    return orjson.loads(body)["error"]
