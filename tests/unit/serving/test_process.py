"""What a process does around its listener."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from proxy.app import make_parts
from proxy.config import Config, StoreConfig
from proxy.serving.process import _listening

ASKED = b"GET /_inference/_all HTTP/1.1\r\nHost: proxy\r\n\r\n"


async def test_after_a_fault_nobody_hears_from_an_application_without_its_store(tmp_path):
    config = Config(listen="127.0.0.1:0", store=StoreConfig(kind=f"sqlite:{tmp_path}/store.db"))
    parts = make_parts(config)
    with suppress(ZeroDivisionError):
        async with _listening(parts, config, reuse_port=False, tls=None) as address:
            caller, to_caller = await asyncio.open_connection(*address.split(":"))
            to_caller.write(ASKED)
            assert (await caller.readline()).startswith(b"HTTP/1.1 200")
            await caller.readuntil(b'{"endpoints":[]}')
            raise ZeroDivisionError
    to_caller.write(ASKED)
    with suppress(ConnectionResetError):
        assert await caller.read() == b""
    to_caller.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address.split(":"))
