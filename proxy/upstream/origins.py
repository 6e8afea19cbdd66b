"""What the upstream's CORS settings say about callers' origins; the upstream itself is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.crossorigin import UNAFFECTED, OriginVerdict
from proxy.ground.errors import UpstreamError, UpstreamTimedOut, UpstreamUnavailable
from proxy.ground.singleflight import SingleFlight
from proxy.upstream.session import Answer, Question, UpstreamSession

FRESHNESS: Final = 5.0  # seconds that a verdict is kept; the settings change with a restart only
MAX_REMEMBERED: Final = 1000
MAX_LENGTH: Final = 1024  # characters of a question whose verdict is kept

_ANSWER_LIMIT: Final = 65536  # bytes
_ORIGIN: Final = (hdrs.ORIGIN, hdrs.HOST)
_PREFLIGHT: Final = (hdrs.ACCESS_CONTROL_REQUEST_METHOD, hdrs.ACCESS_CONTROL_REQUEST_HEADERS)

_Key = tuple[tuple[str, str], ...]


class Origins:
    """Asks the upstream what it makes of an origin, and keeps the verdict for some seconds.

    The question is `OPTIONS /` with the caller's own headers. Elasticsearch decides about the
    origin before anything else, in the same way for every path, and asks for no credentials.
    Source: CorsHandler, SecurityRestFilter.
    """

    def __init__(
        self,
        session: UpstreamSession,
        upstream: UpstreamConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._host = upstream.host
        self._time_limit = upstream.check_timeout
        self._now = clock
        self._kept: dict[_Key, tuple[float, OriginVerdict]] = {}  # until when; the oldest first
        self._asking: SingleFlight[_Key, OriginVerdict] = SingleFlight()

    async def judge(self, method: str, headers: CIMultiDictProxy[str]) -> OriginVerdict:
        """The verdict on a request of this method with these headers.

        Raises: UpstreamUnavailable and UpstreamTimedOut when nobody can tell.
        """
        if hdrs.ORIGIN not in headers or not self._session.nodes:
            return UNAFFECTED
        # A preflight asks on behalf of a request that is still to come. Source: Fetch, CORS.
        preflight = method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers
        names = _ORIGIN + _PREFLIGHT if preflight else _ORIGIN
        asked = CIMultiDict(
            (str(name), value) for name in names for value in headers.getall(name, [])
        )
        if self._host is not None:
            asked[hdrs.HOST] = self._host
        key = tuple(asked.items())
        until, verdict = self._kept.get(key, (0.0, UNAFFECTED))
        if self._now() < until:
            return verdict
        return await self._asking.run(key, lambda: self._ask(key, asked, preflight))

    async def _ask(self, key: _Key, asked: CIMultiDict[str], preflight: bool) -> OriginVerdict:
        asked_at = self._now()
        question = Question(
            method=hdrs.METH_OPTIONS, target="/", headers=asked, time_limit=self._time_limit
        )
        try:
            answer = await self._session.fetch(question, _ANSWER_LIMIT)
        except UpstreamTimedOut:
            raise UpstreamTimedOut(
                "The upstream did not tell in time whether the origin is allowed"
            ) from None
        except UpstreamError as error:
            what = "The upstream that knows which origins are allowed cannot be reached"
            raise UpstreamUnavailable(f"{what}: {error.why}" if error.why else what) from None
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnavailable(
                "The upstream cannot tell whether the origin is allowed: it answered with "
                f"[{answer.status}]"
            )
        verdict = _verdict(answer, preflight)
        self._keep(key, asked_at + FRESHNESS, verdict)
        return verdict

    def _keep(self, key: _Key, until: float, verdict: OriginVerdict) -> None:
        self._kept.pop(key, None)  # to the end of the order
        if sum(len(name) + len(value) for name, value in key) > MAX_LENGTH:
            return
        self._kept[key] = (until, verdict)
        while len(self._kept) > MAX_REMEMBERED:
            del self._kept[next(iter(self._kept))]


def _verdict(answer: Answer, preflight: bool) -> OriginVerdict:
    if answer.status == 403 and answer.body == b"":
        return OriginVerdict(status=403)  # Elasticsearch's other refusals have a body
    if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in answer.headers:
        return UNAFFECTED
    shared = [
        (name, value)
        for name, value in answer.headers.items()
        if name.lower().startswith("access-control-") or name.lower() == "vary"
    ]
    return OriginVerdict(headers=shared, status=answer.status if preflight else None)
