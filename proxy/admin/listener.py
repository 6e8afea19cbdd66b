"""Where the admin application listens: by default on this machine's own address alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from proxy.config import DEFAULT_ADMIN, Config, ConfigError, split_address
from proxy.ground.sessions import HEAD_LIMITS
from proxy.lane import Lane

CONNECTIONS: Final = 100  # of whoever looks at health and figures, if `limits` allow as many
CLOSE_TIMEOUT: Final = 1.0  # seconds for admin requests under way when the proxy ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What became of the attempt to listen: `port` is None if there is none, `report` says why."""

    port: int | None
    report: str  # a line for the log


def admin_ports(config: Config) -> list[int]:
    """The ports that the workers may take; none if admin is off, or the system chooses the port."""
    if config.admin.listen == "":
        return []
    _, port = split_address(config.admin.listen or DEFAULT_ADMIN)
    return list(range(port, min(port + config.workers, 65536))) if port else []


@asynccontextmanager
async def admin_listening(config: Config, app: web.Application) -> AsyncIterator[Listening]:
    """Serve `app` on the admin port while the block runs.

    Each worker takes the first port of `admin_ports` that is free, so that each can be asked for
    its own figures. The default address may be taken: then there is no admin port.
    Raises: ConfigError when an address that was configured cannot be had.
    """
    if config.admin.listen == "":
        yield Listening(port=None, report="no metrics: [admin.listen] is empty")
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT, **HEAD_LIMITS)
    await runner.setup()
    assert runner.server is not None, "the runner is not set up"
    most = min(CONNECTIONS, config.limits.connections)
    lane = Lane.of_application(runner.server, replace(config.limits, connections=most))
    try:
        yield await _bind(config, lane)
    finally:
        await lane.drain(CLOSE_TIMEOUT)
        await runner.cleanup()


async def _bind(config: Config, lane: Lane) -> Listening:
    address = config.admin.listen or DEFAULT_ADMIN
    host, _ = split_address(address)
    reason = ""
    for port in admin_ports(config) or [0]:
        try:
            bound = await lane.listen(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        return Listening(port=bound[1], report=f"metrics on http://{bound[0]}:{bound[1]}/metrics")
    problem = f"cannot listen on [{address}]: {reason}"
    if config.admin.listen is None:
        return Listening(port=None, report=f"no metrics: {problem}; see [admin.listen]")
    raise ConfigError(f"[admin.listen] {problem}")
