"""Which port the admin application gets."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web

from proxy.admin import admin_listening, admin_ports
from proxy.config import AdminConfig, Config, ConfigError


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
