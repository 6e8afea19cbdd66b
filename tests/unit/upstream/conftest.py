"""What several modules' tests stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.forwarding import World, open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as found, asyncio.timeout(20):
        yield found
