"""The inference service over a store in memory and a scripted provider."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from proxy.ground.errors import ProxyError
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.service import InferenceService
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.samples import PROFILE


def service_of(
    provider: ScriptedProvider, *endpoints: InferenceEndpoint, timeout: float = 30.0
) -> tuple[InferenceService, MemoryStore]:
    """A service whose calls take `timeout` seconds at most, and the store behind it."""
    store = MemoryStore(*endpoints)
    return InferenceService(store, provider, timeout, PROFILE), store


async def failing(call: Awaitable[object]) -> ProxyError:
    """The error that the call raises, as it must."""
    with pytest.raises(ProxyError) as caught:
        await call
    return caught.value
