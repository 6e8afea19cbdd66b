"""Where provider calls may go.

Callers choose the URLs, so names, odd notations and rebinding all have to end somewhere: addresses
are judged where the socket is made, after everything that could change them. The texts of URLs are
judged before, by `url_problem`.

Never reached: link-local, metadata, unspecified, multicast, broadcast and reserved addresses; and
the upstream and the proxy itself, where a call could do what its caller may not. Private and
loopback addresses are reached, because model servers live beside the proxy, unless there is an
allow list: then nothing is reached but what it names. A forward proxy makes the connections itself:
there only what stands in the URL can be judged.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum, auto
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from yarl import URL

from proxy.config import ConfigError, EgressConfig, split_address

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVED_FOR: Final = 30.0  # seconds that the upstream's addresses are taken for known
RESOLVE_TIMEOUT: Final = 5.0

# Beside what the properties of IPv4Address and IPv6Address tell.
_DENIED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # metadata: Alibaba
        "168.63.129.16/32",  # metadata: Azure
        "192.0.0.192/32",  # metadata: Oracle
        "fd00:ec2::/32",  # metadata: AWS
        "fd20:ce::254/128",  # metadata: Google
        "fec0::/10",  # site-local, long deprecated
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_UNSPECIFIED: Final = IPv6Address("::")
_LOOPBACK: Final = IPv6Address("::1")
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class _Way(Enum):
    """How the host of a URL came to be judged, before its addresses are."""

    BY_ADDRESS = auto()
    BY_NAME = auto()  # the allow list names the host: any address will do but those never reached
    BY_FORWARD_PROXY = auto()  # the connection goes to the forward proxy, which was configured


_way: ContextVar[_Way] = ContextVar("_way", default=_Way.BY_ADDRESS)


class EgressRules:
    """The rules in force, and connectors that keep to them.

    upstream: the URLs of its nodes. listeners: HOST:PORT each, where this process accepts
    connections.
    Raises: ConfigError for an entry of the allow list that is none.
    """

    def __init__(
        self,
        config: EgressConfig,
        *,
        upstream: Iterable[str] = (),
        listeners: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names, self._networks = _parse_allow(config.allow)
        self._upstream = [URL(url) for url in upstream]
        self._upstream_addresses: dict[URL, frozenset[Address]] = {}
        self._resolved_until = float("-inf")
        self._resolving = asyncio.Lock()
        self._own_ports = {split_address(listener)[1] for listener in listeners}
        self._clock = clock

    def protect_port(self, port: int) -> None:
        """Deny a port of this machine: where the process listens, once that is known."""
        self._own_ports.add(port)

    def connector(self, **options: Any) -> TCPConnector:
        """A connector for provider calls; `options` are those of TCPConnector."""
        return _GuardedConnector(self, **options)

    def socket_factory(self, info: tuple[Any, ...]) -> socket.socket:
        """For TCPConnector: a socket, if what it will be connected to is allowed.

        Raises: EgressDenied.
        """
        family, kind, protocol, _, place = info
        way = _way.get()
        if way is not _Way.BY_FORWARD_PROXY and self.denies(
            place[0], place[1], named=way is _Way.BY_NAME
        ):
            raise EgressDenied
        return socket.socket(family, kind, protocol)

    def denies(self, address: str, port: int, *, named: bool = False) -> bool:
        """Whether an address must not be connected to; `named`: its host is on the allow list."""
        inner = unwrap(ip_address(address))
        if is_never_reached(inner) or self._is_protected(inner, port):
            return True
        if named or not (self._names or self._networks):
            return False
        return not any(inner in network for network in self._networks)

    def judge(self, url: URL, *, forward_proxy: bool = False) -> _Way:
        """What can be told before addresses are known. Raises: EgressDenied."""
        host, port = (url.host or "").rstrip(".").lower(), url.port or 0
        if any((host, port) == (node.host, node.port) for node in self._upstream):
            raise EgressDenied
        named = any(_matches(host, name) for name in self._names)
        if not forward_proxy:
            return _Way.BY_NAME if named else _Way.BY_ADDRESS
        literal = _literal(host)
        if literal is not None:
            if self.denies(str(literal), port, named=named):
                raise EgressDenied
        elif (self._names or self._networks) and not named:
            raise EgressDenied
        return _Way.BY_FORWARD_PROXY

    async def refresh(self) -> None:
        """Look the upstream up again if its addresses have not been for a while."""
        if not self._upstream or self._clock() < self._resolved_until:
            return
        async with self._resolving:
            if self._clock() < self._resolved_until:
                return
            for node in self._upstream:
                # Unresolved, it is not reached by anybody; what was known last still counts.
                with suppress(OSError, TimeoutError):
                    self._upstream_addresses[node] = await _resolve(node)
            self._resolved_until = self._clock() + RESOLVED_FOR

    def _is_protected(self, address: Address, port: int) -> bool:
        if port in self._own_ports and is_of_this_machine(address):
            return True
        on_port = [
            known
            for node, addresses in self._upstream_addresses.items()
            if node.port == port
            for known in addresses
        ]
        # A server on this machine can mostly be reached by all of its addresses.
        return address in on_port or (
            is_of_this_machine(address) and any(is_of_this_machine(known) for known in on_port)
        )


class _GuardedConnector(TCPConnector):
    """Judges the host of every request, and the address of every new connection."""

    def __init__(self, rules: EgressRules, **options: Any) -> None:
        super().__init__(socket_factory=rules.socket_factory, **options)
        self._rules = rules

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        await self._rules.refresh()
        # The socket is made in this context, or in that of a task that is started from it.
        token = _way.set(self._rules.judge(req.url, forward_proxy=req.proxy is not None))
        try:
            return await super().connect(req, traces, timeout)
        finally:
            _way.reset(token)


def unwrap(address: Address) -> Address:
    """The address that is really meant: IPv6 has many ways to write one of IPv4."""
    while isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and (
            address in _NAT64
            or (address in _COMPATIBLE and address not in (_UNSPECIFIED, _LOOPBACK))
        ):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None:
            return address
        address = inner
    return address


def is_never_reached(address: Address) -> bool:
    """Whether no configuration allows an unwrapped address."""
    return (
        address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (address.is_reserved and not address.is_loopback)
        or any(address in network for network in _DENIED)
    )


def is_of_this_machine(address: Address) -> bool:
    """Whether an unwrapped address is one of the machine's own: only such can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


async def _resolve(url: URL) -> frozenset[Address]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_TIMEOUT):
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    return frozenset(unwrap(ip_address(place[0])) for *_, place in found)


def _literal(host: str) -> Address | None:
    """The address that a host is, in any notation that some resolver takes."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 2130706433, 0x7f.1, 0177.0.0.1
    except OSError:
        return None


def _parse_allow(entries: Sequence[str]) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    """Host names, `*.` in front for all below one, and networks; an address is a small network."""
    names, networks = [], []
    for entry in entries:
        try:
            networks.append(ip_network(entry.strip("[]"), strict=False))
            continue
        except ValueError:
            name = entry.rstrip(".").lower()
        if not _NAME.fullmatch(name):
            raise ConfigError(f"[egress.allow] [{entry}] is no host name, address or network")
        names.append(name)
    return tuple(names), tuple(networks)


def _matches(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    return host == name


class EgressDenied(PermissionError):
    """The rules forbid the connection; the text names no address, or names could be looked up."""

    def __init__(self) -> None:
        super().__init__("the proxy's egress rules do not allow this address")


def is_denied(error: BaseException | None) -> bool:
    """Whether a call failed because of the rules, however aiohttp has wrapped that."""
    while error is not None:
        if isinstance(error, EgressDenied):
            return True
        error = getattr(error, "os_error", None) or error.__cause__
    return False
