"""Where provider calls may go.

Callers choose the URLs of endpoints, so names, odd notations of addresses and DNS rebinding must
all fail. An address is therefore checked where the socket is made, after everything that could
still change it. The text of a URL is checked earlier, by `proxy.inference.urls`.

Never reached: link-local, metadata, unspecified, multicast, broadcast and reserved addresses, the
upstream, and the proxy itself: a call to these could do what its caller may not. Private and
loopback addresses are reached, because model servers run beside the proxy. With an allow list only
what it names is reached. A forward proxy makes the connections itself, and looks names up for
itself: then only the URL's host can be checked, and there must be an allow list.
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
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import ClientConnectorError, ClientRequest, ClientTimeout, TCPConnector
from yarl import URL

from proxy.config import ConfigError, EgressConfig, split_address
from proxy.ground.keeping import KeepingConnector

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVED_FOR: Final = 30.0  # seconds until the upstream's addresses are looked up again
RESOLVE_TIMEOUT: Final = 5.0
MOST_ADDRESSES: Final = 4096  # of the upstream that are remembered; the oldest is forgotten first

# In addition to what IPv4Address and IPv6Address classify themselves.
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


class EgressDenied(PermissionError):
    """The rules forbid a connection. The text has no address, or callers could look names up."""

    def __init__(self) -> None:
        super().__init__("the proxy's egress rules do not allow this address")


def is_denied(error: BaseException | None) -> bool:
    """Whether a call failed because of the rules, however aiohttp wrapped the EgressDenied."""
    while error is not None:
        if isinstance(error, EgressDenied):
            return True
        error = getattr(error, "os_error", None) or error.__cause__
    return False


class HostCheck(Enum):
    """What is left to check of a connection once the host of its URL was checked."""

    ADDRESS = auto()  # its address, by all rules
    NEVER_REACHED = auto()  # the allow list names the host: only what is never reached is denied
    NOTHING = auto()  # it goes to the forward proxy, whose address is the operator's choice


# A context variable, because aiohttp calls the socket factory with an address alone.
_left_to_check: ContextVar[HostCheck] = ContextVar("left_to_check", default=HostCheck.ADDRESS)


class EgressRules:
    """The rules in force, and connectors that follow them.

    `upstream` holds the URLs of its nodes, `listeners` a HOST:PORT for each socket on which this
    process accepts connections.
    Raises: ConfigError for an entry of the allow list that is no name, address or network; for a
    forward proxy without an allow list.
    """

    def __init__(
        self,
        config: EgressConfig,
        *,
        upstream: Iterable[str],
        listeners: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if config.proxy and not config.allow:
            raise ConfigError(
                "[egress.proxy] needs [egress.allow]: a forward proxy looks names up for itself, "
                "and might be led to Elasticsearch or to this proxy"
            )
        self.has_forward_proxy = bool(config.proxy)
        self._names, self._networks = _parse_allow(config.allow)
        self._upstream = [URL(url) for url in upstream]
        # All that the names have led to so far, with their ports: names can have several addresses,
        # in turn. Each with whether it is one of this machine's.
        self._upstream_addresses: dict[tuple[Address, int | None], bool] = {}
        self._resolved_until = float("-inf")
        self._resolving = asyncio.Lock()
        self._own_ports = {split_address(listener)[1] for listener in listeners}
        self._clock = clock

    def protect_port(self, port: int) -> None:
        """Deny a port of this machine, on which the process turned out to listen."""
        self._own_ports.add(port)

    def connector(self, **options: Any) -> TCPConnector:
        """A connector for provider calls; `options` are those of TCPConnector."""
        return _GuardedConnector(self, **options)

    def socket_factory(self, info: tuple[Any, ...]) -> socket.socket:
        """For TCPConnector: a socket for an entry of getaddrinfo. Raises: EgressDenied."""
        family, kind, protocol, _, (address, port, *_) = info
        self.check_address(address, port)
        return socket.socket(family, kind, protocol)

    def check_address(self, address: str, port: int) -> None:
        """Check what is left to check, just before a connection is made. Raises: EgressDenied."""
        check = _left_to_check.get()
        if check is not HostCheck.NOTHING:
            named = check is HostCheck.NEVER_REACHED
            if self.denies(address, port, named=named):
                raise EgressDenied

    def denies(self, address: str, port: int, *, named: bool = False) -> bool:
        """Whether an address must not be connected to; `named` if the allow list has its host."""
        inner, is_denied_always = _judged(address)
        if is_denied_always or self._is_protected(inner, port):
            return True
        if named or not (self._names or self._networks):
            return False
        return not any(inner in network for network in self._networks)

    def check_host(self, url: URL, *, forward_proxy: bool = False) -> HostCheck:
        """Check what is known before any address is, and say what is left. Raises: EgressDenied."""
        host, port = (url.host or "").rstrip(".").lower(), url.port or 0
        if any((host, port) == (node.host, node.port) for node in self._upstream):
            raise EgressDenied
        named = any(_matches(host, name) for name in self._names)
        if not forward_proxy:
            return HostCheck.NEVER_REACHED if named else HostCheck.ADDRESS
        literal = _literal(host)
        if literal is not None:
            if self.denies(str(literal), port, named=named):
                raise EgressDenied
        elif (self._names or self._networks) and not named:
            raise EgressDenied
        return HostCheck.NOTHING

    async def refresh(self) -> None:
        """Look the upstream's addresses up if they were not for RESOLVED_FOR seconds."""
        if not self._upstream or self._clock() < self._resolved_until:
            return
        async with self._resolving:
            if self._clock() < self._resolved_until:
                return
            for node in self._upstream:
                # What cannot be resolved cannot be reached, either; known addresses still count.
                with suppress(OSError, TimeoutError):
                    self._remember(await _resolve(node), node.port)
            self._resolved_until = self._clock() + RESOLVED_FOR

    def _remember(self, addresses: Iterable[Address], port: int | None) -> None:
        known = self._upstream_addresses
        for address in addresses:
            known.pop((address, port), None)  # it goes to the end, behind those not seen of late
            known[address, port] = is_of_this_machine(address)
        while len(known) > MOST_ADDRESSES:
            del known[next(iter(known))]

    def _is_protected(self, address: Address, port: int) -> bool:
        if port in self._own_ports and is_of_this_machine(address):
            return True
        if (address, port) in self._upstream_addresses:
            return True
        # A server on this machine can usually be reached at all of the machine's addresses.
        upstream_is_here = any(
            is_here and known_port == port
            for (_, known_port), is_here in self._upstream_addresses.items()
        )
        return upstream_is_here and is_of_this_machine(address)


class _GuardedConnector(KeepingConnector):
    """Checks the host of every request, and the address of every new connection."""

    def __init__(self, rules: EgressRules, **options: Any) -> None:
        super().__init__(socket_factory=rules.socket_factory, **options)
        self._rules = rules
        self.is_direct = not rules.has_forward_proxy

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        await self._rules.refresh()
        check = self._rules.check_host(req.url, forward_proxy=req.proxy is not None)
        if (idle := self.idle(req)) is not None:
            return idle  # whose address has been checked
        # The socket is made in this context, or in a copy of it: that of a task started here.
        token = _left_to_check.set(check)
        try:
            return await super().connect(req, traces, timeout)
        finally:
            _left_to_check.reset(token)

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[AddrInfoType],
        req: ClientRequest,
        timeout: ClientTimeout,
        client_error: type[Exception] = ClientConnectorError,
        **options: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """As aiohttp's, which races addresses, and takes twice as long where there is but one."""
        if len(addr_infos) > 1 or options.get("ssl"):
            return await super()._wrap_create_connection(
                *args,
                addr_infos=addr_infos,
                req=req,
                timeout=timeout,
                client_error=client_error,
                **options,
            )
        address, port = cast(tuple[str, int], addr_infos[0][4][:2])
        try:
            self._rules.check_address(address, port)
            async with asyncio.timeout(timeout.sock_connect):
                # The socket is made at once: it is an address, so that nothing is looked up.
                return await self._loop.create_connection(self._factory, address, port)
        except OSError as error:
            if error.errno is None and isinstance(error, TimeoutError):
                raise  # ours, not that of a network that gave up
            raise client_error(req.connection_key, error) from error


def unwrap(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address that stands for one, however deep; else `address`."""
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
    """Whether an unwrapped address is denied whatever the configuration says."""
    return (
        address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (address.is_reserved and not address.is_loopback)
        or any(address in network for network in _DENIED)
    )


@lru_cache(MOST_ADDRESSES)
def _judged(address: str) -> tuple[Address, bool]:
    """An address unwrapped, and whether it is never reached."""
    inner = unwrap(ip_address(address))
    return inner, is_never_reached(inner)


def is_of_this_machine(address: Address) -> bool:
    """Whether an unwrapped address is one of this machine's: only those can be bound to."""
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
    """The address that a host is in any notation that resolvers take; None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 2130706433, 0x7f.1, 0177.0.0.1
    except OSError:
        return None


def _parse_allow(entries: Sequence[str]) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    """Host names, with `*.` for all below one, and networks, an address being one by itself."""
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
