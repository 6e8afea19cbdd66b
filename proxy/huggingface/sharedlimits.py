"""Rate limits that hold for all proxies of a store together.

Each proxy takes places for its calls from the note of `leases`, some time before they are due, so
that none waits for the store as long as calls keep coming. While the store cannot be used, each
keeps to its part of the limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextvars import Context
from typing import Any, Final

from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.huggingface.leases import NOTE, Taken, Wanted, take
from proxy.huggingface.ratelimit import Pace
from proxy.huggingface.retry import Clock, Sleep
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.ports import Notes

# A call may leave so many seconds after its place. Places are further apart than the limit asks
# for, so that in any 60 seconds there are no more calls than it allows, though some leave late and
# others do not: 60 seconds' worth of places take 61.5 seconds. What is left is for clocks that
# differ, and for the way to the provider.
_LATEST: Final = 1.0
_SPACING: Final = 1.025
# Seconds before its places end when a proxy takes further ones, and seconds of places that it
# takes. Both are more where the store is slow. Of more than five proxies each takes more, so that
# they write less often.
_AHEAD: Final = 0.5
_AT_ONCE: Final = 0.5
_AT_ONCE_PER_PROXY: Final = 0.1
_PATIENCE: Final = 4.0  # seconds for an answer of the store
_RETRY: Final = 0.25  # seconds
_AWAY: Final = 5.0  # seconds of failures after which proxies keep to their shares
_PAUSE: Final = 5.0  # seconds after which the store is asked again then

log = logging.getLogger(__name__)


class LeasedPace(Pace):
    """The calls of a group, each at a place that was taken for it."""

    def __init__(self, leases: Leases, endpoint: InferenceEndpoint) -> None:
        super().__init__()
        settings = endpoint.service_settings
        limit = settings.requests_per_minute
        whose = repr((settings.url, endpoint.secret_settings.api_key, limit))
        self.group = hashlib.sha256(whose.encode()).hexdigest()[:24]
        self.interval = 60.0 * _SPACING / limit  # seconds
        self._leases = leases
        self._places: deque[float] = deque()
        self._left: deque[float] = deque()  # when calls have left of late
        self._granted = asyncio.Event()
        self.share_ends = 0.0  # of the places that are its process's own part of the limit

    def take(self) -> bool:
        now = self._leases.now()
        self._drop_old(now)
        may_leave = bool(self._places) and self._places[0] <= now
        if may_leave:
            self._use(now)
            self._leases.look_after(self)
        return may_leave

    async def wait(self) -> None:
        while True:
            now = self._leases.now()
            self._drop_old(now)
            self._granted.clear()
            self._leases.look_after(self)
            if not self._places:
                await self._granted.wait()
            elif self._places[0] > now:
                await self._leases.sleep(self._places[0] - now)
            else:
                self._use(now)
                return

    @property
    def is_idle(self) -> bool:
        return not self._places

    def wanted(self, now: float, ahead: float, at_once: float) -> int:
        """How many places to take: for calls that wait, and as many as have left of late."""
        self._drop_old(now)
        if self._places and self._places[-1] + self.interval > now + ahead:
            return 0
        count = self.waiting + len(self._left) - len(self._places)
        if max(count, self.waiting) <= len(self._places):
            return 0  # so that not each call has the note written
        return min(count, max(1, int(at_once / self.interval)))

    def grant(self, start: float, count: int, interval: float) -> None:
        self._places.extend(start + number * interval for number in range(count))
        self._granted.set()

    def _use(self, now: float) -> None:
        self._places.popleft()
        self._left.append(now)

    def _drop_old(self, now: float) -> None:
        while self._places and self._places[0] < now - _LATEST:
            self._places.popleft()
        while self._left and self._left[0] < now - _LATEST:
            self._left.popleft()


class Leases:
    """Takes places for the groups of one process, those of all that lack some together."""

    def __init__(
        self,
        notes: Notes,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        wall_clock: Clock = time.time,
    ) -> None:
        self.sleep = sleep
        self._notes = notes
        self._clock = clock
        self._offset = wall_clock() - clock()  # of the time that all share
        self._me = uuid.uuid4().hex[:12]
        self._proxies = 1
        self._took = 0.0  # seconds, the last change of the note
        self._lacking: dict[LeasedPace, None] = {}
        self._taking: asyncio.Task[None] | None = None
        self._failing_since: float | None = None
        self._asks_again_at = 0.0
        self._is_away = False

    def pace_of(self, endpoint: InferenceEndpoint) -> LeasedPace:
        return LeasedPace(self, endpoint)

    async def close(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])

    def now(self) -> float:
        """The time that all proxies share, about."""
        return self._clock() + self._offset

    def look_after(self, pace: LeasedPace) -> None:
        """Take places for it, some time soon, if it lacks any."""
        if self._wanted(pace):
            self._lacking[pace] = None
            if self._taking is None:
                loop = asyncio.get_running_loop()
                self._taking = loop.create_task(self._take_all(), context=Context())
                self._taking.add_done_callback(self._has_taken)

    def _has_taken(self, _: asyncio.Task[None]) -> None:
        self._taking = None

    def _wanted(self, pace: LeasedPace) -> int:
        return pace.wanted(self.now(), max(_AHEAD, 2 * self._took), self._at_once)

    @property
    def _at_once(self) -> float:
        return max(_AT_ONCE, _AT_ONCE_PER_PROXY * self._proxies, 2 * self._took)

    async def _take_all(self) -> None:
        while self._lacking:
            paces, self._lacking = list(self._lacking), {}
            counts = {pace: self._wanted(pace) for pace in paces}
            counts = {pace: count for pace, count in counts.items() if count}
            if counts and not await self._take(counts):
                self._lacking = dict.fromkeys([*paces, *self._lacking])
                await self.sleep(_RETRY)

    async def _take(self, counts: Mapping[LeasedPace, int]) -> bool:
        """Whether these have places now, as many or fewer."""
        if not (self._is_away and self.now() < self._asks_again_at):
            wanted = [Wanted(pace.group, pace.interval, count) for pace, count in counts.items()]
            taken = await self._asked(wanted)
            if taken is not None and taken.starts:
                for pace, count in counts.items():
                    pace.grant(taken.starts[pace.group], count, pace.interval)
                return True
            if taken is None and not self._is_away:
                return False
        for pace, count in counts.items():
            self._grant_share(pace, count)
        return True

    def _grant_share(self, pace: LeasedPace, count: int) -> None:
        interval = pace.interval * self._proxies
        start = max(self.now(), pace.share_ends)
        most = max(1, int(self._at_once / interval))
        pace.grant(start, min(count, most), interval)
        pace.share_ends = start + min(count, most) * interval

    async def _asked(self, wanted: list[Wanted]) -> Taken | None:
        """What the note grants; None where it could not be changed."""
        taken: list[Taken] = []
        returns = _PAUSE + 1 if self._is_away else None
        delay = max(0.0, self._took - _LATEST / 2)  # or places would be too old when they are known

        def change(content: dict[str, Any]) -> Mapping[str, Any]:
            now = self.now()
            until = 0.0 if returns is None else now + returns
            changed, found = take(
                content, wanted, me=self._me, now=now, delay=delay, shares_until=until
            )
            taken[:] = [found]
            return changed

        began = self._clock()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._notes.change(NOTE, change, start={})
        except (ProxyError, TimeoutError) as error:
            forget_frames(error)
            self._failed(began)
            return None
        self._took = self._clock() - began
        self._succeeded(taken[0])
        return taken[0]

    def _failed(self, began: float) -> None:
        self._asks_again_at = self.now() + _PAUSE
        if self._failing_since is None:
            self._failing_since = began  # and not now: a store that is stuck fails late
        if not self._is_away and self._clock() - self._failing_since >= _AWAY:
            self._is_away = True
            log.warning(
                "the endpoint store cannot be used to share rate limits: keeping to one part in "
                "%d of each until it can",
                self._proxies,
            )

    def _succeeded(self, taken: Taken) -> None:
        self._offset += max(0.0, taken.now - self.now())
        self._proxies = taken.proxies
        self._failing_since = None
        if self._is_away:
            self._is_away = False
            log.info("rate limits are shared again")
