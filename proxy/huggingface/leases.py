"""The note by which proxies share rate limits: who has taken which part of the time to come.

For each group of endpoints there is one line of places in time, evenly spaced, at which calls of
any proxy may leave. A proxy takes the next ones, as many as it needs soon, before it uses them.
Pure functions; `sharedlimits` has those who take.

Clocks of machines differ. So the time is that of the fastest one, as the note tells the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

NOTE: Final = "limits/calls"
SEEN: Final = 60.0  # seconds for which a proxy counts as one of those that share


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many places, for calls of a group that are `interval` seconds apart."""

    group: str
    interval: float
    count: int


@dataclass(frozen=True, slots=True)
class Taken:
    """When the wanted places begin, by group, and what the note has told besides."""

    now: float
    proxies: int  # that share, with this one
    starts: Mapping[str, float]
    # Some have to keep to a fair share each, as they could not be asked: then all do until this.
    shares_until: float


def take(
    content: Mapping[str, Any],
    wanted: Sequence[Wanted],
    *,
    me: str,
    now: float,
    delay: float = 0.0,
    shares_until: float = 0.0,
) -> tuple[dict[str, Any], Taken]:
    """What the note says then, and what is taken: nothing that would be due before the `delay`.

    No places are taken as long as all keep to their shares.
    """
    now = max(now, content.get("time", now))
    proxies = {name: at for name, at in content.get("proxies", {}).items() if at > now - SEEN}
    proxies[me] = now
    until = max(shares_until, content.get("shares_until", 0.0))
    line = {group: at for group, at in content.get("next", {}).items() if at > now}
    starts = {}
    if now >= until:
        for one in wanted:
            starts[one.group] = max(line.get(one.group, now), now + delay)
            line[one.group] = starts[one.group] + one.count * one.interval
    kept = {"time": now, "proxies": proxies, "next": line, "shares_until": until}
    return kept, Taken(now, len(proxies), starts, until)
