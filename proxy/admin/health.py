"""Health: whether the process runs, and whether requests would be served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.ground.errors import ProxyError
from proxy.ground.singleflight import SingleFlight

CHECK_TIMEOUT: Final = 5.0  # seconds
FRESHNESS: Final = 1.0  # seconds that the result of a check is shown
# Raises ProxyError if requests would fail; returns what is wrong for some of them, or None.
Check = Callable[[], Awaitable[str | None]]
Clock = Callable[[], float]


class Health:
    """Answers `/livez` and `/readyz`. `checks` are run by `/readyz`, which shows their names."""

    def __init__(self, checks: Mapping[str, Check], clock: Clock = time.monotonic) -> None:
        self._checks = {name: _Remembered(check, clock) for name, check in checks.items()}
        self.draining = False  # set once the proxy is told to stop

    async def livez(self, _: web.Request) -> web.Response:
        """200: the event loop runs, or there would be no answer."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 if requests would be served, else 503; the body has the result of each check.

        `degraded`, which is 200, too, says that some requests would fail.
        """
        found = await asyncio.gather(*(check.result() for check in self._checks.values()))
        results = dict(zip(self._checks, found, strict=True))
        if self.draining:
            results["proxy"] = _Result("stopping", serves=False)
        serves = all(result.serves for result in results.values())
        all_ok = all(result.text == "ok" for result in results.values())
        status = ("ok" if all_ok else "degraded") if serves else "unavailable"
        body = {"status": status, **{name: result.text for name, result in results.items()}}
        return web.json_response(body, status=200 if serves else 503)


@dataclass(frozen=True, slots=True)
class _Result:
    """What a check has found; `serves` is whether requests would be served."""

    text: str
    serves: bool = True


class _Remembered:
    """A check that is made once for all who ask within FRESHNESS."""

    def __init__(self, check: Check, clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._making: SingleFlight[None, _Result] = SingleFlight()
        self._last: tuple[float, _Result] | None = None

    async def result(self) -> _Result:
        if self._last is not None and self._clock() - self._last[0] < FRESHNESS:
            return self._last[1]
        return await self._making.run(None, self._make)

    async def _make(self) -> _Result:
        result = await _made(self._check)
        self._last = self._clock(), result
        return result


async def _made(check: Check) -> _Result:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return _Result(await check() or "ok")
    except ProxyError as error:
        return _Result(error.reason, serves=False)
    except TimeoutError:
        return _Result("no answer in time", serves=False)
