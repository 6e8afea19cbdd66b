"""Health: whether the process runs, and whether it can serve requests to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from proxy.errors import ProxyError

CHECK_TIMEOUT: Final = 5.0  # seconds
Check = Callable[[], Awaitable[object]]  # raises ProxyError if what it looks at is not there


class Health:
    """Answers `/livez` and `/readyz`. `checks` are run by `/readyz`, which shows their names."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self.draining = False  # set once the proxy is told to stop

    async def livez(self, _: web.Request) -> web.Response:
        """200: the event loop runs, or there would be no answer."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 if requests can be served, else 503; the body has the result of each check."""
        names = list(self._checks)
        found = await asyncio.gather(*(_result(self._checks[name]) for name in names))
        state = dict(zip(names, found, strict=True))
        if self.draining:
            state["proxy"] = "stopping"
        ready = set(state.values()) <= {"ok"}
        body = {"status": "ok" if ready else "unavailable", **state}
        return web.json_response(body, status=200 if ready else 503)


async def _result(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except ProxyError as error:
        return error.reason
    except TimeoutError:
        return "no answer in time"
    return "ok"
