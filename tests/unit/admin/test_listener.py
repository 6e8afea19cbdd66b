"""Which port the admin application gets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from proxy.admin import admin_listening, admin_ports
from proxy.admin.listener import CONNECTIONS
from proxy.config import AdminConfig, Config, ConfigError, LimitsConfig
from tests.support.peers import Peer


@pytest.mark.parametrize(
    ("listen", "workers", "ports"),
    [("", 1, []), (None, 2, [9280, 9281]), ("[::1]:7000", 1, [7000]), ("127.0.0.1:0", 1, [])],
)
def test_each_worker_has_a_port(listen, workers, ports):
    config = Config(workers=workers, admin=AdminConfig(listen=listen))
    assert admin_ports(config) == ports


async def test_a_taken_port_is_an_error_where_it_was_asked_for():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(admin=AdminConfig(listen=address))
        with pytest.raises(ConfigError, match=r"\[admin.listen\] cannot listen on"):
            async with admin_listening(config, web.Application()):
                pass


async def test_workers_take_the_next_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(workers=20, admin=AdminConfig(listen=f"127.0.0.1:{port}"))
        async with admin_listening(config, web.Application()) as admin:
            assert admin.report.startswith("metrics on http://127.0.0.1:")
            assert f"127.0.0.1:{port}" not in admin.report
            assert admin.port in range(port + 1, port + 20)


async def test_nothing_listens_where_it_is_off():
    config = Config(admin=AdminConfig(listen=""))
    async with admin_listening(config, web.Application()) as admin:
        assert admin.report.startswith("no metrics")
        assert admin.port is None


async def livez(_):
    return web.Response(text="ok")


@asynccontextmanager
async def listening(**limits):
    app = web.Application()
    app.router.add_get("/livez", livez)
    config = Config(admin=AdminConfig(listen="127.0.0.1:0"), limits=LimitsConfig(**limits))
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        admin = await stack.enter_async_context(admin_listening(config, app))

        async def connect(data=b""):
            peer = Peer(*await asyncio.open_connection("127.0.0.1", admin.port))
            stack.push_async_callback(peer.close)
            await peer.send(data)
            return peer

        yield connect


LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_connections_that_nobody_uses_end():
    async with listening(head_timeout=0.3, keepalive_timeout=0.3) as connect:
        silent, half, used = await connect(), await connect(LIVEZ[:10]), await connect(LIVEZ)
        assert (await used.head()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await silent.rest() == b""
        await half.error(408)
        assert await used.rest() == b"ok"


@pytest.mark.parametrize(("allowed", "most"), [(3, 3), (10_000, CONNECTIONS)])
async def test_connections_are_limited(allowed, most):
    async with listening(connections=allowed) as connect:
        for _ in range(most):
            await connect()
        error = await (await connect()).error(429)
        assert error["reason"] == f"all of [{most}] connections are in use"
