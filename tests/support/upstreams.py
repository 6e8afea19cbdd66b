"""The application's way upstream, as the application puts it together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.config import UpstreamConfig
from proxy.limits.uploads import PAUSE
from proxy.upstream.forward import Forwarder, forwarding
from proxy.upstream.grants import MAX_REMEMBERED, Grants
from proxy.upstream.nodes import Nodes
from proxy.upstream.origins import Origins
from proxy.upstream.privileges import Privileges
from proxy.upstream.security import Security
from proxy.upstream.session import open_session


@asynccontextmanager
async def open_forwarder(
    upstream: UpstreamConfig, *, body_timeout: float = PAUSE
) -> AsyncIterator[Forwarder]:
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        yield Forwarder(session, forwarding(upstream), body_timeout=body_timeout)


@asynccontextmanager
async def open_privileges(
    upstream: UpstreamConfig,
    *,
    clock: Callable[[], float] = time.monotonic,
    most_grants: int = MAX_REMEMBERED,
) -> AsyncIterator[Privileges]:
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        yield Privileges(Security(session, upstream), Grants(most=most_grants, clock=clock))


@asynccontextmanager
async def open_origins(
    upstream: UpstreamConfig, *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Origins]:
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        yield Origins(session, upstream, clock=clock)
