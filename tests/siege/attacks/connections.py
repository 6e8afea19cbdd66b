"""Connections that are made and not used, on each listener."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader
from contextlib import suppress
from typing import Final

from tests.siege.attacker import BROKEN, Attacker
from tests.siege.catalogue import attack
from tests.siege.wire import request

ALLOWED: Final = 100  # `limits.connections`
OPENED: Final = 300
PATIENCE: Final = 1.0  # seconds of `limits.head_timeout` and `limits.keepalive_timeout`
LEAST: Final = 4.0  # seconds until all that are not used must be gone
SETTINGS: Final = {
    "HFPROXY_LIMITS_CONNECTIONS": str(ALLOWED),
    "HFPROXY_LIMITS_HEAD_TIMEOUT": str(PATIENCE),
    "HFPROXY_LIMITS_KEEPALIVE_TIMEOUT": str(PATIENCE),
}


async def connect(
    caller: Attacker, *, data: bytes = b"", address: tuple[str, int] | None = None
) -> None:
    """Open many connections, send the same on each, and see how many are kept, and how long."""
    before, readers = caller.open_files(), []
    caller.begin()
    for _ in range(OPENED):
        with suppress(*BROKEN):
            reader, writer = await caller.open(address=address or caller.proxy)
            writer.write(data)
            readers.append(reader)
            caller.kept.append(writer)
    await asyncio.sleep(PATIENCE / 2)
    # Half as many again: some need a second one, to what serves them.
    if (held := caller.open_files() - before) > 1.5 * ALLOWED:
        caller.broken(f"{held} connections, where {ALLOWED} are allowed")
    # Those that come first; of the others, some may have waited for them to end.
    ends = [asyncio.ensure_future(end_of(reader)) for reader in readers[: ALLOWED // 2]]
    _, held_on = await asyncio.wait(ends, timeout=LEAST - PATIENCE)
    if held_on:
        caller.broken(f"{len(held_on)} connections are kept that nobody uses")
    for end in held_on:
        end.cancel()


async def end_of(reader: StreamReader) -> None:
    with suppress(*BROKEN):
        await reader.read(-1)


@attack(12, settings=SETTINGS, least=LEAST)
async def silent(caller: Attacker) -> None:
    """connections on which nothing is sent"""
    await connect(caller)


@attack(12, settings=SETTINGS, least=LEAST)
async def half_a_head(caller: Attacker) -> None:
    """half a head on each"""
    await connect(caller, data=b"GET / HTTP/1.1\r\nHost:")


@attack(12, settings=SETTINGS, least=LEAST, brief=True)
async def silent_admin(caller: Attacker) -> None:
    """connections to the admin listener"""
    await connect(caller, address=caller.admin)


@attack(12, settings=SETTINGS, least=LEAST)
async def idle_admin(caller: Attacker) -> None:
    """the same after a request"""
    data = request("GET", "/livez", user=None)
    await connect(caller, data=data, address=caller.admin)


@attack(12, settings=SETTINGS, tls=True, least=LEAST, brief=True)
async def no_handshake(caller: Attacker) -> None:
    """TCP connections to a TLS listener without a handshake"""
    await connect(caller)


@attack(12, settings=SETTINGS, tls=True, least=LEAST)
async def half_a_handshake(caller: Attacker) -> None:
    """the beginning of a handshake"""
    await connect(caller, data=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


@attack(12, settings=SETTINGS, flags=("--no-lane",), least=LEAST, brief=True)
async def silent_no_lane(caller: Attacker) -> None:
    """connections without the lane on which nothing is sent"""
    await connect(caller)


@attack(12, settings=SETTINGS, flags=("--no-lane",), least=LEAST)
async def idle_no_lane(caller: Attacker) -> None:
    """the same after a request"""
    await connect(caller, data=request("OPTIONS", "/_inference", user=None))
