"""The addresses that the proxy would listen on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

from proxy.admin.listener import admin_ports
from proxy.commands.checks.findings import Finding, error, ok, warning
from proxy.config import DEFAULT_ADMIN, Config, split_address


def check_ports(config: Config) -> Iterator[Finding]:
    """Whether the addresses can be had; names of hosts are looked up."""
    host, port = split_address(config.listen)
    problem = _refused(host, port, shared=config.workers > 1)
    if problem:
        yield error(f"[listen] cannot listen on [{config.listen}]: {problem}")
    elif not port:
        yield ok(f"[listen] [{config.listen}]: the system chooses a port")
    else:
        yield ok(f"[listen] [{config.listen}] is free")
    yield _admin(config)


def _admin(config: Config) -> Finding:
    if config.admin.listen == "":
        return ok("[admin.listen] is empty: no health, no metrics")
    address = config.admin.listen or DEFAULT_ADMIN
    host, _ = split_address(address)
    problems = [problem for port in admin_ports(config) if (problem := _refused(host, port))]
    if not problems:
        return ok(f"[admin.listen] [{address}] is free")
    text = f"[admin.listen] cannot listen on [{address}]: {problems[0]}"
    if config.admin.listen is None:
        return warning(f"{text}; the proxy would serve without health and metrics")
    return error(text)


def _refused(host: str, port: int, *, shared: bool = False) -> str | None:
    """Why nobody can listen there now; None if it is possible. Nothing listens in the end."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            with socket.socket(family, kind, protocol) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind(address)
    except socket.gaierror as problem:
        return f"{problem.strerror}; name an address of this machine"
    except OSError as problem:
        return _explained(problem)
    return None


def _explained(problem: OSError) -> str:
    match problem.errno:
        case errno.EADDRINUSE:
            return "it is in use; end what listens there, perhaps another proxy, or set another"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EACCES:
            return "that port is for root alone; set one of 1024 or more"
    return os.strerror(problem.errno or 0)
