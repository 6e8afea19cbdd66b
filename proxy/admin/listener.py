"""For whoever runs the proxy: `/livez`, `/readyz` and `/metrics`, on a listener of their own.

There the proxied path space stays whole, and callers have no way to it. Nothing there is secret,
and nobody is asked who they are: the default address is this machine's alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from proxy.admin.health import Admin
from proxy.config import Config, ConfigError, split_address

DEFAULT_ADDRESS: Final = "127.0.0.1:9280"


# Listening


def admin_ports(config: Config) -> list[int]:
    """Ports that the workers' admin listeners may have; none if that is off, or left to chance."""
    if config.admin.listen == "":
        return []
    _, port = split_address(config.admin.listen or DEFAULT_ADDRESS)
    return list(range(port, min(port + config.workers, 65536))) if port else []


@asynccontextmanager
async def admin_listening(config: Config, admin: Admin) -> AsyncIterator[str]:
    """Admin requests are answered; yields a line that says where, or why not.

    Each worker takes the next free port, so that each can be asked for its own figures.
    Raises: ConfigError when an address that was configured cannot be had.
    """
    if config.admin.listen == "":
        yield "no metrics: [admin.listen] is empty"
        return
    runner = web.AppRunner(admin.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield await _bound(config, runner, admin)
    finally:
        await runner.cleanup()


async def _bound(config: Config, runner: web.AppRunner, admin: Admin) -> str:
    address = config.admin.listen or DEFAULT_ADDRESS
    host, _ = split_address(address)
    reason = ""
    for port in admin_ports(config) or [0]:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        found = runner.addresses[0]
        admin.port = found[1]
        return f"metrics on http://{found[0]}:{found[1]}/metrics"
    if config.admin.listen is None:
        return f"no metrics: cannot listen on [{address}]: {reason}; see [admin.listen]"
    raise ConfigError(f"[admin.listen] cannot listen on [{address}]: {reason}")
