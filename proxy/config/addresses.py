"""Whether an address is the proxy's own, as far as its text tells: no name is looked up."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

_Host = IPv4Address | IPv6Address | str  # a name, in lower case
_LOOPBACK = frozenset[_Host]({IPv4Address("127.0.0.1"), IPv6Address("::1")})


def is_own(listening: tuple[str, int], called: tuple[str, int]) -> bool:
    """Whether a connection to the host and port `called` reaches who listens on `listening`."""
    if listening[1] != called[1]:
        return False
    own, target = _host(listening[0]), _host(called[0])
    reached = _LOOPBACK if _is_any(target) or _is_localhost(target) else frozenset({target})
    if _is_any(own):
        return any(_is_loopback(host) for host in reached)
    return not reached.isdisjoint(_LOOPBACK if _is_localhost(own) else {own})


def is_any(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    return _is_any(_host(host))


def _host(text: str) -> _Host:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text.lower().rstrip(".")
    return getattr(address, "ipv4_mapped", None) or address


def _is_any(host: _Host) -> bool:
    return not isinstance(host, str) and host.is_unspecified


def _is_loopback(host: _Host) -> bool:
    return not isinstance(host, str) and host.is_loopback


def _is_localhost(host: _Host) -> bool:
    return isinstance(host, str) and (host == "localhost" or host.endswith(".localhost"))
