"""How many calls and streams may be under way at once in this process.

A call beyond the limit is refused with 429 before it begins, and can be repeated later.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from proxy.config import LimitsConfig
from proxy.ground.errors import Rejected

# The peer's address behind the lane's pipe, where aiohttp sees none. It is a function
# because one pipe serves many callers, one after the other; and a context variable because the lane
# starts aiohttp's connection, and nothing can be handed through it.
address_of_caller: ContextVar[Callable[[], str] | None] = ContextVar("address", default=None)
_FOR_OTHERS: Final = 16  # one caller may have all calls but this part of them
_NETWORK_BITS: Final = 64  # of an IPv6 address: a network of this size belongs to one party


Caller = tuple[str, str]  # what a request counts by, `user` or `address`, and which one


def caller_of(user: str | None, address: str) -> Caller:
    """Whom a request counts for: the user that the upstream named, or else an address.

    Not the credentials: one caller can spell them in many ways, or have many keys. `address` is
    that of the peer; headers such as `X-Forwarded-For` can be made up.
    """
    return ("address", network_of(address)) if user is None else ("user", user)


class CallLimits:
    """The calls and streams that are under way; one per process, used in its event loop only."""

    def __init__(self, config: LimitsConfig) -> None:
        most = config.calls
        self._calls = _Kind("calls", most)
        self._calls_of_one = (most - most // _FOR_OTHERS, "calls", " of one caller")
        self._streams = _Kind("streams", config.streams)
        self._streams_of_one = (config.streams_per_caller, "streams_per_caller", "")

    @property
    def calls(self) -> int:
        return self._calls.count

    @property
    def streams(self) -> int:
        return self._streams.count

    def call(self, caller: Caller) -> AbstractContextManager[None]:
        """Count one more call of a caller while entered. Raises: Rejected."""
        return _Place(self._calls, caller, self._calls_of_one)

    def stream(self, caller: Caller) -> AbstractContextManager[None]:
        """Count one more stream of a caller while entered. Raises: Rejected."""
        return _Place(self._streams, caller, self._streams_of_one)


class _Kind:
    """The calls under way, or the streams."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.count = 0
        self.of_callers: dict[Caller, int] = {}


class _Place:
    """A place among them, taken while it is entered."""

    __slots__ = ("_caller", "_kind", "_of_one")

    def __init__(self, kind: _Kind, caller: Caller, of_one: tuple[int, str, str]) -> None:
        self._kind = kind
        self._caller = caller
        self._of_one = of_one

    def __enter__(self) -> None:
        kind, caller = self._kind, self._caller
        own = kind.of_callers.get(caller, 0)
        if kind.count >= kind.most:
            raise _beyond(kind.count, kind.most, kind.name)
        if own >= self._of_one[0]:
            raise _beyond(own, *self._of_one)
        kind.count += 1
        kind.of_callers[caller] = own + 1

    def __exit__(self, *_: object) -> None:
        kind, caller = self._kind, self._caller
        kind.count -= 1
        if (own := kind.of_callers[caller] - 1) > 0:
            kind.of_callers[caller] = own
        else:
            del kind.of_callers[caller]


@lru_cache(1024)
def network_of(address: str) -> str:
    """What belongs to one party: an IPv4 address, or the network of an IPv6 address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # that of another kind of socket
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, _NETWORK_BITS), strict=False))


def _beyond(count: int, limit: int, name: str, whose: str = "") -> Rejected:
    return Rejected(
        f"rejected execution of an inference: [{count}] are under way, [limits.{name}]{whose} "
        f"is [{limit}]",
        name,
    )
