"""The nodes of the upstream: which of them are worth asking.

A node is passed over when it cannot be reached, or answers 502, 503 or 504 three times in a row:
for a second at first, and twice as long each time that it proves to be no better, up to half a
minute. Where all are passed over, all are asked again: none is no choice.

What this knows is the process's own, and shared by all that speak to the upstream in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from yarl import URL

UNAVAILABLE: Final = frozenset((502, 503, 504))
STRIKES: Final = 3  # such answers in a row
FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 30.0

log = logging.getLogger(__name__)


class Node:
    """One address of the upstream, and how it has behaved of late."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name  # as texts show it: its URL
        self.live = True  # whether it should be asked
        self.retry_at = 0.0  # when to see whether it is live again
        self.strikes = 0  # since it last did well
        self._pause = FIRST_PAUSE
        self._clock = clock

    def unreachable(self, reason: str) -> None:
        """No connection to it can be had."""
        self._pass_over(f"cannot connect to upstream [{self.name}]: {reason}")

    def did_badly(self, status: int) -> None:
        """It answered one of UNAVAILABLE."""
        self.strikes += 1
        if self.strikes >= STRIKES:
            self._pass_over(f"upstream [{self.name}] answers {status}, and is passed over")

    def did_well(self) -> None:
        """It answered anything else."""
        self.strikes = 0
        self._pause = FIRST_PAUSE
        self.is_back()

    def is_back(self) -> None:
        """It can be reached; whether it does well, its answers tell."""
        if not self.live:
            self.live = True
            log.info("upstream [%s] is back", self.name)

    def wants_a_try(self) -> bool:
        """Whether it is time to see if it is live again; true once in each pause."""
        if self.live or self._clock() < self.retry_at:
            return False
        self.retry_at = self._clock() + self._pause
        return True

    def _pass_over(self, reason: str) -> None:
        self.strikes = STRIKES - 1  # the next bad answer is enough
        self.retry_at = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if self.live:  # once, not for each caller
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
        """All of them in the order in which to try them: each call begins with another live one.

        One that is due for a try comes first: who asks it goes on to the next if it fails.
        """
        self._turn += 1
        start = self._turn % len(self._nodes)
        turned = self._nodes[start:] + self._nodes[:start]
        return sorted(turned, key=lambda node: 1 if node.live else 0 if node.wants_a_try() else 2)
