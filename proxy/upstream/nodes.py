"""The nodes of the upstream, and which of them are worth asking.

A node is passed over when it cannot be reached, or when it answers 502, 503 or 504 three times in
a row: for a second at first, and for twice as long each time it still fails, up to half a minute.
Where all nodes are passed over, all are asked.

Each process finds this out for itself; within it, the lane and the application share it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from yarl import URL

from proxy.ground.errors import UpstreamBroken, UpstreamUnavailable
from proxy.ground.tlsfailures import SPEAKS_TLS, TlsProbe, connect_problem

LATE: Final = "did not answer in time"
UNAVAILABLE: Final = frozenset((502, 503, 504))
STRIKES: Final = 3  # such answers in a row
FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 30.0

log = logging.getLogger(__name__)


class CertificateTaken(OSError):
    """A node takes the proxy's own certificate for a user."""

    def __init__(self, user: str) -> None:
        super().__init__(
            0,
            "the upstream takes the proxy's own certificate for a user, and so everybody who sends "
            "no credentials: take the certificate out of what its PKI realm trusts",
        )
        self.user = user  # which callers are not told

    def __str__(self) -> str:
        return str(self.strerror)


async def _any_connection() -> None:
    """What a node that is not vetted is asked."""


class Node:
    """One address of the upstream, and how it has behaved of late.

    Callers see what it is, `shown`; the log has its address.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        shown: str = "upstream node",
    ) -> None:
        self.name = name  # its URL
        self.shown = shown
        self.live = True  # not passed over
        self.retry_at = 0.0  # when to see whether it is live again
        self.strikes = 0  # bad answers since the last good one
        self._pause = FIRST_PAUSE
        self._clock = clock
        self.probe = TlsProbe(name, clock)
        self._told: dict[str, float] = {}  # when which problem was logged
        # Called before a connection to it is made. Raises: OSError if there must be none.
        self.vet: Callable[[], Awaitable[None]] = _any_connection

    def was_unreachable(self, reason: str) -> None:
        """No connection to it could be made."""
        self._pass_over(f"cannot connect to upstream [{self.name}]: {reason}")

    def unreachable(self, failure: OSError) -> UpstreamUnavailable:
        """The error for a request to which no connection could be made, which is noted, too."""
        why = _taken(failure) or connect_problem(self.name, failure)
        self.was_unreachable(why or failure.strerror or type(failure).__name__)
        error = UpstreamUnavailable(f"{self.shown} cannot be reached" + (f": {why}" if why else ""))
        error.why = why
        return error

    async def unanswered(self, what: str) -> UpstreamBroken:
        """The error for a request after which it did `what` instead of answering; it is logged."""
        if await self.probe.speaks_tls():
            return self.speaks_tls()
        return self.broken(what)

    def speaks_tls(self) -> UpstreamBroken:
        """The error where plain HTTP was sent to it, and it speaks TLS."""
        self.report(SPEAKS_TLS)
        error = UpstreamBroken(f"upstream {SPEAKS_TLS}")
        error.why = f"it {SPEAKS_TLS}"
        return error

    def broken(self, what: str) -> UpstreamBroken:
        """The error for what it did instead of answering; it is logged."""
        self.report(what)
        return UpstreamBroken(f"{self.shown} {what}")

    def report(self, what: str) -> None:
        """Log what it did; the same only once in LONGEST_PAUSE seconds."""
        if self._clock() - self._told.get(what, -LONGEST_PAUSE) >= LONGEST_PAUSE:
            self._told[what] = self._clock()
            log.warning("upstream [%s] %s", self.name, what)

    def was_reached(self) -> None:
        """A connection to it was made; whether it works, its answers will tell."""
        if not self.live:
            self.live = True
            self._told.clear()
            log.info("upstream [%s] is back", self.name)

    def did_badly(self, status: int) -> None:
        """It answered one of UNAVAILABLE."""
        self.strikes += 1
        if self.strikes >= STRIKES:
            self._pass_over(f"upstream [{self.name}] answers {status}, and is passed over")

    def did_well(self) -> None:
        """It answered anything else."""
        self.strikes = 0
        self._pause = FIRST_PAUSE
        self.was_reached()

    def claim_retry(self) -> bool:
        """Whether the caller of this method shall try it again; true once in each pause."""
        if self.live or self._clock() < self.retry_at:
            return False
        self.retry_at = self._clock() + self._pause
        return True

    def _pass_over(self, reason: str) -> None:
        self.strikes = STRIKES - 1  # the next bad answer is enough
        self.retry_at = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if self.live or reason not in self._told:  # logged once, not for each request
            self._told[reason] = self._clock()
            log.warning(reason)
        self.live = False


class Nodes:
    """The nodes of one cluster; any of them can answer every request."""

    def __init__(self, *urls: URL | str, clock: Callable[[], float] = time.monotonic) -> None:
        self._nodes = [Node(str(URL(url).origin()), clock) for url in urls]
        self._turn = 0

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def in_turn(self) -> list[Node]:
        """All of them in the order in which to try them; each call begins with another live one.

        A node that is due for a retry comes first: if it fails, the next one is asked.
        """
        self._turn += 1
        start = self._turn % len(self._nodes)
        turned = self._nodes[start:] + self._nodes[:start]
        return sorted(turned, key=lambda node: 1 if node.live else 0 if node.claim_retry() else 2)


def _taken(failure: OSError) -> str | None:
    """Why there must be no connection; aiohttp wraps such an error."""
    inner = getattr(failure, "os_error", failure)
    return str(inner) if isinstance(inner, CertificateTaken) else None
