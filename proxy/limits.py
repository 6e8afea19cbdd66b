"""How much may be under way in this process at once, and what it may take of the memory.

A call that would go beyond is refused before it begins, with 429: callers come again.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final, TypeVar

from proxy.config import LimitsConfig
from proxy.errors import MemoryShort, Rejected

# Bytes of memory, as measured, for what is counted.
PER_BODY_BYTE: Final = 3  # the body or the call that is made of it, the texts in it, buffers
PER_REPLY_BYTE: Final = 4  # numbers as floats of Python, and as the text of the answer
PER_VALUE: Final = 64  # of a body that has been read

# What begins a character beyond U+FFFF, in UTF-8 or escaped in JSON.
_WIDEST: Final = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", rb"\ud", rb"\uD")

# Few threads: a body that is being read can take far more memory than is counted. What waits for
# them is bounded by what bodies may take of the memory together: seconds of work at most.
_BESIDE: Final = ThreadPoolExecutor(2, thread_name_prefix="reader")
T = TypeVar("T")

_CREDENTIALS: Final = ("Authorization", "es-security-runas-user", "es-secondary-authorization")


# Of the caller whose request is under way; set for connections that somebody makes for callers.
address_of_caller: ContextVar[Callable[[], str] | None] = ContextVar("address", default=None)
_NETWORK_BITS: Final = 64  # of an IPv6 address: who has one has them all


class Held:
    """What one request takes of the memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size = 0  # bytes

    def add(self, size: int) -> None:
        """Take more, until the request has been answered. Raises: MemoryShort."""
        wanted = self._limits.held + size
        if wanted > self._limits.config.memory:
            raise MemoryShort(wanted, self._limits.config.memory)
        self._limits.held = wanted
        self.size += size


_holding: ContextVar[Held | None] = ContextVar("holding", default=None)


def hold(size: int) -> None:
    """Take memory for the request under way; outside of any, nothing is counted.

    Raises: MemoryShort.
    """
    if (held := _holding.get()) is not None:
        held.add(size)


def extra_of(body: bytes) -> int:
    """Bytes that the texts in a body may take beyond what is counted for any body.

    The widest character of a text sets how many bytes each has; UTF-8 is kept beside it. Which
    text it is in, nobody knows before they are read.
    """
    if any(lead in body for lead in _WIDEST):
        return len(body) * 4
    return 0 if body.isascii() and rb"\u" not in body else len(body) * 2


async def aside(size: int, at_most: int, read: Callable[[], T]) -> T:
    """What `read` makes of `size` bytes, beside the event loop if they are more than `at_most`."""
    if size <= at_most:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, read)


class Limits:
    """Counts what is under way; one per process, used in its event loop alone."""

    def __init__(self, config: LimitsConfig) -> None:
        self.config = config
        self.held = 0  # bytes
        self.calls = 0
        self.streams = 0
        self._callers: dict[bytes, int] = {}  # streams of each
        self._hash_key = secrets.token_bytes(32)

    def caller_of(self, headers: Mapping[str, str], address: str) -> bytes:
        """Whom a request counts for: a keyed hash of its credentials, or of where it comes from.

        `address` is the peer's own; what headers say of it, anybody can write.
        """
        credentials = [headers.get(name) for name in _CREDENTIALS]
        who = repr(credentials) if any(credentials) else network_of(address)
        return hmac.digest(self._hash_key, who.encode(), "sha256")

    @contextmanager
    def call(self) -> Iterator[None]:
        """One more call. Raises: Rejected."""
        _refuse_beyond(self.calls, self.config.calls, "calls")
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    @contextmanager
    def stream(self, caller: bytes) -> Iterator[None]:
        """One more stream of a caller. Raises: Rejected."""
        own = self._callers.get(caller, 0)
        _refuse_beyond(self.streams, self.config.streams, "streams")
        _refuse_beyond(own, self.config.streams_per_caller, "streams_per_caller")
        self.streams += 1
        self._callers[caller] = own + 1
        try:
            yield
        finally:
            self.streams -= 1
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    @contextmanager
    def memory(self) -> Iterator[None]:
        """What a request holds, given back at its end."""
        held = Held(self)
        token = _holding.set(held)
        try:
            yield
        finally:
            self.held -= held.size
            _holding.reset(token)


def network_of(address: str) -> str:
    """What one party has all of: an IPv4 address, or the network of an IPv6 address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # of another kind of socket
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, _NETWORK_BITS), strict=False))


def _refuse_beyond(count: int, limit: int, name: str) -> None:
    if count >= limit:
        raise Rejected(
            f"rejected execution of an inference: [{count}] are under way, [limits.{name}] is "
            f"[{limit}]",
            name,
        )
