"""Rate limits that hold for all proxies of a store together.

Each proxy has its part of the time to come, by the note of `leases`, and uses it without asking.
What it does not need it lends, for seconds. Who needs more takes places of what others have lent,
some time before they are due, so that none waits for the store as long as calls keep coming.

So there is nothing to be done when the store cannot be used: what is lent comes back by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.huggingface.leases import (
    FORGOTTEN,
    NOTE,
    PARTS,
    Request,
    Taken,
    Wanted,
    at,
    fair_share,
    leave,
    take,
)
from proxy.huggingface.lifesigns import life_sign
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
_LENT: Final = 4.0  # such times, for which a proxy lends what it does not need
_LENT_IDLE: Final = 10.0  # seconds, the same where it has made no call for twice as long
_RENEWED: Final = 0.4  # of that time, after which it says so again
_PATIENCE: Final = 4.0  # seconds for an answer of the store
_RETRY: Final = 0.5  # seconds after which it is asked again then, twice as long each time
_RETRY_MOST: Final = 4.0
_AWAY: Final = 5.0  # seconds of failures after which a warning says so
# Seconds without calls after which a proxy does not share any more. Endpoints are not known for
# longer without the store, so that no call can need what it has given away.
_GONE: Final = 3600.0

log = logging.getLogger(__name__)


class LeasedPace(Pace):
    """The calls of a group, each at a place of its own."""

    def __init__(self, leases: Leases, endpoint: InferenceEndpoint) -> None:
        super().__init__()
        settings = endpoint.service_settings
        limit = settings.requests_per_minute
        whose = repr((settings.url, endpoint.secret_settings.api_key, limit))
        self.group = hashlib.sha256(whose.encode()).hexdigest()[:24]
        self.interval = 60.0 * _SPACING / limit  # seconds
        self.anchor: float | None = None  # when the line of places begins, once that is known
        self.lent = leases.lent  # until when the process's own places are
        self.last_left = -math.inf
        self.news = asyncio.Event()
        self._leases = leases
        self._places: deque[float] = deque()  # taken from the note
        self._next = 0  # the number of the first place that may still be used as its own
        self._left: deque[float] = deque()  # when calls have left of late
        self._asks_from = 0.0

    def take(self) -> bool:
        now = self._leases.now()
        found = self._place(now)
        may_leave = found is not None and found <= now
        if may_leave:
            self._leave(now)
            self._leases.look_after(self)
        return may_leave

    async def wait(self) -> None:
        while True:
            now = self._leases.now()
            found = self._place(now)
            if found is not None and found <= now:
                self._leave(now)
                self._leases.look_after(self)
                return
            self.news.clear()
            self._leases.look_after(self)
            until = now + self._leases.at_once if found is None else found
            await self._leases.sleep_until(until, self.news)

    @property
    def is_idle(self) -> bool:
        return not self._places and self._leases.now() > self.last_left + FORGOTTEN

    def wanted(self, now: float) -> int:
        """How many places to take: for calls that wait, and as many as have left of late."""
        self._drop_old(now)
        if now < self._asks_from or (self._places and self._places[-1] > now + self._leases.ahead):
            return 0
        count = self._demand - len(self._places) - int(self._own_rate(now))
        if self.anchor is None and self.waiting:
            count = max(1, count)
        elif len(self._leases.parts) == PARTS:
            return 0  # as nobody has anything to lend
        return max(0, min(count, max(1, int(self._leases.at_once / self.interval))))

    def needs_its_own(self, now: float) -> bool:
        """Whether it has calls for all of the process's own places, or gets no others."""
        self._drop_old(now)
        least = len(self._leases.parts) / PARTS / self.interval
        return self._demand >= least or (self.waiting > 0 and now < self._asks_from)

    def grant(self, places: Sequence[float], wanted: int) -> None:
        self._places.extend(places)
        if len(places) < wanted:  # there are no more for now
            self._asks_from = self._leases.now() + self._leases.at_once
        self.news.set()

    def begin(self, anchor: float) -> None:
        """The line of places begins then."""
        if anchor != self.anchor:
            self.anchor, self._next = anchor, 0

    def goes_on_alone(self) -> None:
        """The store cannot be asked when the line of places begins."""
        if self.waiting and self.anchor is None:
            self.begin(0.0)
        self.news.set()

    @property
    def _demand(self) -> int:
        return self.waiting + len(self._left)

    def _own_rate(self, now: float) -> float:
        """Its own places in a second."""
        is_its_own = self.anchor is not None and self.lent <= now
        return len(self._leases.parts) / PARTS / self.interval if is_its_own else 0.0

    def _place(self, now: float) -> float | None:
        """The next one that may be used."""
        self._drop_old(now)
        own = self._own(now)
        if self._places and (own is None or self._places[0] < own):
            return self._places[0]
        return own

    def _own(self, now: float) -> float | None:
        """The next one of its own places; `_next` is its number then."""
        if self.anchor is None or not self._leases.parts:
            return None
        since = max(self.lent, now - _LATEST)
        first = max(self._next, math.floor((since - self.anchor) / self.interval))
        for number in range(first, first + PARTS + 1):
            place = at(self.anchor, number, self.interval)
            if place >= since and self._leases.is_own(number, place):
                self._next = number
                return place
        return None

    def _leave(self, now: float) -> None:
        """A call leaves at the next place."""
        own = self._own(now)
        if self._places and (own is None or self._places[0] < own):
            self._places.popleft()
        else:
            self._next += 1
        self._left.append(now)
        self.last_left = now

    def _drop_old(self, now: float) -> None:
        while self._places and self._places[0] < now - _LATEST:
            self._places.popleft()
        while self._left and self._left[0] < now - _LATEST:
            self._left.popleft()
        if not self.waiting and now > self.last_left + FORGOTTEN:
            self.anchor = None  # the line may have begun anew


class Leases:
    """What this process has of the limits of all groups, and its word with the others about it."""

    def __init__(
        self,
        notes: Notes,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        wall_clock: Clock = time.time,
    ) -> None:
        self.parts: dict[int, float] = {}  # that are its own, and since when
        self.lent = 0.0  # until when they are lent, in groups of which it knows nothing
        self._notes = notes
        self._clock = clock
        self._sleep = sleep
        self._offset = wall_clock() - clock()  # of the time that all share
        self._me = uuid.uuid4().hex[:12]
        self._sign = life_sign()
        self._turn = 0  # of requests
        self._proxies = 1
        self._took = 0.0  # seconds, the last change of the note
        self._paces: dict[LeasedPace, None] = {}  # in use
        self._last_used = 0.0
        self._lacking = asyncio.Event()
        self._sharing: asyncio.Task[None] | None = None
        self._failing_since: float | None = None
        self._is_away = False

    def pace_of(self, endpoint: InferenceEndpoint) -> LeasedPace:
        return LeasedPace(self, endpoint)

    async def close(self) -> None:
        """Give back what this process has."""
        if self._sharing is not None:
            self._sharing.cancel()
            await asyncio.wait([self._sharing])
            await self._leave()

    def now(self) -> float:
        """The time that all proxies share, about."""
        return self._clock() + self._offset

    @property
    def ahead(self) -> float:
        return max(_AHEAD, 2 * self._took)

    @property
    def at_once(self) -> float:
        return max(_AT_ONCE, _AT_ONCE_PER_PROXY * self._proxies, 2 * self._took)

    def is_own(self, number: int, place: float) -> bool:
        return self.parts.get(number % PARTS, math.inf) <= place

    async def sleep_until(self, until: float, news: asyncio.Event) -> None:
        """Return then, or when there are news, unless that is soon in any case."""
        seconds = until - self.now()
        if seconds <= _AHEAD / 5:
            await self._sleep(max(0.0, seconds))
            return
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        waiting = asyncio.ensure_future(news.wait())
        try:
            await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()

    def look_after(self, pace: LeasedPace) -> None:
        """Take places for it, some time soon, if it lacks any."""
        now = self._last_used = self.now()
        if pace not in self._paces:
            self._paces[pace] = None
            pace.lent = self.lent
        if pace.wanted(now):
            self._lacking.set()
        if self._sharing is None:
            loop = asyncio.get_running_loop()
            self._sharing = loop.create_task(self._share(), context=Context())
            self._sharing.add_done_callback(self._shares_no_more)

    def _shares_no_more(self, _: asyncio.Task[None]) -> None:
        self._sharing = None

    async def _share(self) -> None:
        asked = -math.inf
        retry = _RETRY
        while self.now() < self._last_used + _GONE:
            await self.sleep_until(asked + _RENEWED * self._lending, self._lacking)
            self._lacking.clear()
            asked = self.now()
            if await self._ask():
                retry = _RETRY
            else:
                await self._sleep(retry)
                retry = min(2 * retry, _RETRY_MOST)
        await self._leave()

    @property
    def _lending(self) -> float:
        """For how many seconds it lends what it does not need."""
        idle = self.now() - self._last_used
        return max(_LENT * self.at_once, min(_LENT_IDLE, idle / 2))

    async def _ask(self) -> bool:
        """Whether the note has been changed, and paces have what they want, or less."""
        now = self.now()
        self._paces = {pace: None for pace in self._paces if pace.waiting or not pace.is_idle}
        self.parts = dict(list(self.parts.items())[: fair_share(self._proxies)])
        self._lend(now)
        self._turn += 1
        wanted = [
            Wanted(pace.group, pace.interval, count, pace.anchor)
            for pace in self._paces
            if (count := pace.wanted(now))
        ]
        request = Request(
            me=self._me,
            turn=self._turn,
            now=now,
            parts=list(self.parts),
            lent=self.lent,
            kept={pace.group: pace.lent for pace in self._paces if pace.lent < self.lent},
            used={pace.group: pace.last_left for pace in self._paces if pace.last_left > 0},
            wanted=wanted,
            delay=max(0.0, self._took - _LATEST / 2),  # or places are too old when they are known
            horizon=self.ahead + self.at_once,
            sign=self._sign,
        )
        taken = await self._asked(request)
        if taken is None:
            for pace in self._paces:
                pace.goes_on_alone()
            return False
        for pace in self._paces:
            if pace.group in taken.anchors:
                pace.begin(taken.anchors[pace.group])
        paces = {pace.group: pace for pace in self._paces}
        for one in wanted:
            paces[one.group].grant(taken.places[one.group], one.count)
        return True

    def _lend(self, now: float) -> None:
        """Lend what is not needed. What the note says then counts, even if it cannot be heard of.

        So nothing is lent to nobody, and nothing as long as the store cannot be used.
        """
        if self._failing_since is not None or self._proxies == 1:
            return
        self.lent = max(self.lent, now + self._lending)
        for pace in self._paces:
            if not pace.needs_its_own(now):
                pace.lent = self.lent

    async def _asked(self, request: Request) -> Taken | None:
        """What the note grants; None where it could not be changed."""
        taken: list[Taken] = []

        def change(content: dict[str, Any]) -> Mapping[str, Any]:
            changed, found = take(content, request)
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

    async def _leave(self) -> None:
        self.parts = {}
        with suppress(ProxyError, TimeoutError):
            async with asyncio.timeout(_RETRY):
                await self._notes.change(NOTE, lambda content: leave(content, self._me), start={})

    def _failed(self, began: float) -> None:
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
        self.parts = {part: self.parts.get(part, taken.new_from) for part in taken.parts}
        if len(self.parts) > fair_share(self._proxies):
            self._lacking.set()  # to give them up
        self._failing_since = None
        if self._is_away:
            self._is_away = False
            log.info("rate limits are shared again")
