"""How many calls and streams may be under way at once in this process.

A call beyond the limit is refused with 429 before it begins, and can be repeated later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from proxy.config import LimitsConfig
from proxy.errors import Rejected

# The peer's address behind the lane's socket pair, where aiohttp sees none. It is a function
# because one pair serves many callers, one after the other; and a context variable because the lane
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
        self._config = config
        self.calls = 0
        self.streams = 0
        self._callers: dict[Caller, int] = {}  # how many streams each has
        self._calling: dict[Caller, int] = {}  # how many calls each has

    @contextmanager
    def call(self, caller: Caller) -> Iterator[None]:
        """Count one more call of a caller while entered. Raises: Rejected."""
        own, most = self._calling.get(caller, 0), self._config.calls
        _refuse_beyond(self.calls, most, "calls")
        _refuse_beyond(own, most - most // _FOR_OTHERS, "calls", " of one caller")
        self.calls += 1
        self._calling[caller] = own + 1
        try:
            yield
        finally:
            self.calls -= 1
            self._calling[caller] -= 1
            if not self._calling[caller]:
                del self._calling[caller]

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Count one more stream of a caller while entered. Raises: Rejected."""
        own = self._callers.get(caller, 0)
        _refuse_beyond(self.streams, self._config.streams, "streams")
        _refuse_beyond(own, self._config.streams_per_caller, "streams_per_caller")
        self.streams += 1
        self._callers[caller] = own + 1
        try:
            yield
        finally:
            self.streams -= 1
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]


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


def _refuse_beyond(count: int, limit: int, name: str, whose: str = "") -> None:
    if count >= limit:
        raise Rejected(
            f"rejected execution of an inference: [{count}] are under way, [limits.{name}]{whose} "
            f"is [{limit}]",
            name,
        )
