"""The note by which proxies share rate limits: which parts of the time to come are whose.

The time of each group of endpoints is a line of places, evenly spaced, at which calls may leave:
one call at each. Every PARTS-th place is a part, and every part has at most one owner, which alone
uses its places, without asking. An owner lends what it does not need: until a time that it names,
the places of its parts are open to all, and are taken from the note, one after the other.

So no place is used twice, whoever cannot reach the note: an owner that is cut off has its own parts
from the time on until which it has lent them, and all others leave them alone. An owner that is not
heard of for long has ended, and loses them, and one that is seen to have ended at once.

Functions of the note and a request; `sharedlimits` has those who take. Clocks of machines differ.
So the time is that of the fastest one, as the note tells the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import StoreError
from proxy.huggingface.lifesigns import has_ended

NOTE: Final = "limits/parts"
PARTS: Final = 120
HOLD: Final = 120.0  # seconds for which the parts of an owner that is not heard of stay its own
SILENT: Final = 20.0  # seconds after which a new proxy without any part takes its place
_QUIET: Final = 10.0  # seconds without a word of anybody, after which nobody counts as silent yet
# Seconds after which calls that have left matter no more: then a line may begin anew, at once.
FORGOTTEN: Final = 61.5
# In this order parts are given, so that those of one owner are spread over the time.
_ORDER: Final = tuple(number * 73 % PARTS for number in range(PARTS))


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many places, for calls of a group that are `interval` seconds apart.

    `anchor` is when the line of the group began, as far as it is known.
    """

    group: str
    interval: float
    count: int
    anchor: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a proxy says of itself, and what it wants. Times are seconds of the shared time."""

    me: str
    turn: int  # that each of its requests has, counted up
    now: float
    parts: Sequence[int] = ()  # those of its own that it goes on to use
    lent: float = 0.0  # until when it lends them
    kept: Mapping[str, float] = field(default_factory=dict)  # the same, by group, where it is less
    used: Mapping[str, float] = field(default_factory=dict)  # when a call has left, by group
    wanted: Sequence[Wanted] = ()
    delay: float = 0.0  # before which no place is of use
    horizon: float = 1.0  # after which none is taken
    sign: Mapping[str, Any] | None = None  # by which others see whether it has ended


@dataclass(frozen=True, slots=True)
class Taken:
    """The places taken, by group, and what the note has told besides."""

    now: float
    proxies: int  # that share, with this one
    parts: Sequence[int]  # of this one
    new_from: float  # when those of them begin that it did not have before
    places: Mapping[str, Sequence[float]]
    anchors: Mapping[str, float]  # of all groups


class Late(StoreError):
    """A store that was stuck comes to a request only after later ones, so nothing is changed."""

    def __init__(self) -> None:
        super().__init__("A request for shared rate limits came too late")


def fair_share(proxies: int) -> int:
    """How many parts each has at most."""
    return max(1, PARTS // max(1, proxies))


def at(anchor: float, number: int, interval: float) -> float:
    """When a place of a line is: the same for everybody, to the last bit."""
    return anchor + number * interval


def take(content: Mapping[str, Any], request: Request) -> tuple[dict[str, Any], Taken]:
    """What the note says then, and what is taken. Raises: Late."""
    now = max(request.now, content.get("time", request.now))
    quiet = now > content.get("time", now) + _QUIET
    since = now if quiet else content.get("since", now)
    proxies = {
        name: one
        for name, one in content.get("proxies", {}).items()
        if now <= max(one["seen"], since) + HOLD and not has_ended(one["sign"])
    }
    mine = proxies.pop(request.me, {"joined": now, "parts": [], "turn": 0, "is_heir": False})
    if mine["turn"] >= request.turn:
        raise Late
    kept = [part for part in request.parts if part in mine["parts"]]
    missing = fair_share(len(proxies) + 1) - len(kept)
    owned = {part for one in proxies.values() for part in one["parts"]}.union(kept)
    gained = [part for part in _ORDER if part not in owned][: max(0, missing)]
    is_heir = mine["is_heir"]
    if len(gained) < missing and not is_heir and now > max(mine["joined"], since) + SILENT:
        inherited = _inherited(proxies, mine["joined"], now)
        is_heir = bool(inherited)
        gained += inherited
    said = {
        "joined": mine["joined"],
        "is_heir": is_heir,
        "turn": request.turn,
        "sign": request.sign,
        "seen": now,
        "lent": request.lent,
        "kept": {**request.kept},
    }
    proxies[request.me] = {**said, "parts": kept}
    groups = _groups(content.get("groups", {}), request, proxies, now)
    places = {}
    for one in request.wanted:
        line = _line(groups, one, now + request.delay)
        places[one.group] = _places(line, one, request, now, _is_open(proxies, one.group))
    # What is new may have been taken up to the end of the lines, and was open until now.
    new_from = max([now, *(group["end"] for group in groups.values())])
    proxies[request.me] = {**said, "parts": kept + gained}
    anchors = {name: group["anchor"] for name, group in groups.items()}
    changed = {"time": now, "since": since, "proxies": proxies, "groups": groups}
    return changed, Taken(now, len(proxies), kept + gained, new_from, places, anchors)


def leave(content: Mapping[str, Any], me: str) -> dict[str, Any]:
    """What the note says once a proxy has gone, whose parts others may have."""
    proxies = {name: one for name, one in content.get("proxies", {}).items() if name != me}
    return {**content, "proxies": proxies}


def _inherited(proxies: dict[str, Any], joined: float, now: float) -> list[int]:
    """The parts of one that is silent, and is taken away, if all others came after its last word.

    It may be cut off, and use them. But if nobody is left that was there with it, more probably all
    were killed, and these are started in their place, which else had nothing until that is sure.
    """
    silent = {name for name, one in proxies.items() if now > max(one["seen"] + SILENT, one["lent"])}
    came = min([joined, *(one["joined"] for name, one in proxies.items() if name not in silent)])
    gone = [name for name in silent if proxies[name]["parts"] and proxies[name]["seen"] < came]
    if not gone:
        return []
    oldest = min(gone, key=lambda name: proxies[name]["seen"])
    return list(proxies.pop(oldest)["parts"])


def _groups(
    groups: Mapping[str, Any], request: Request, proxies: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """The lines of groups, without those in which no call can have left of late."""
    found = {}
    others = [one for name, one in proxies.items() if name != request.me]
    for name, group in groups.items():
        used = max(group["used"], request.used.get(name, 0.0))
        all_lend = all(one["kept"].get(name, one["lent"]) > now for one in others)
        if not all_lend or now < max(used, group["end"]) + FORGOTTEN:
            found[name] = {**group, "used": used}
    return found


def _line(groups: dict[str, Any], wanted: Wanted, start: float) -> dict[str, Any]:
    if wanted.group not in groups:
        anchor = start if wanted.anchor is None else wanted.anchor
        groups[wanted.group] = {"anchor": anchor, "next": 0, "end": 0.0, "used": 0.0}
    line: dict[str, Any] = groups[wanted.group]
    return line


def _places(
    line: dict[str, Any],
    wanted: Wanted,
    request: Request,
    now: float,
    is_open: Callable[[int, float], bool],
) -> list[float]:
    """The next open places, of which the line knows then."""
    anchor, interval = line["anchor"], wanted.interval
    first = math.ceil((now + request.delay - anchor) / interval)
    number = max(line["next"], first)
    places: list[float] = []
    end = now + request.horizon
    while len(places) < wanted.count and (place := at(anchor, number, interval)) <= end:
        if is_open(number, place):
            places.append(place)
            line["next"], line["end"] = number + 1, place + interval
        number += 1
    return places


def _is_open(proxies: Mapping[str, Any], group: str) -> Callable[[int, float], bool]:
    lent: dict[int, float] = {}
    for one in proxies.values():
        until = one["kept"].get(group, one["lent"])
        lent.update(dict.fromkeys(one["parts"], until))

    def is_open(number: int, place: float) -> bool:
        return place < lent.get(number % PARTS, math.inf)

    return is_open
