"""Addresses to listen on, as `check` sees them."""

from __future__ import annotations

import socket
from typing import Any

from proxy.commands.checks.ports import check_ports
from proxy.config import AdminConfig, Config


def found(**more: Any) -> list[str]:
    given: dict[str, Any] = {"listen": "127.0.0.1:0", "admin": AdminConfig(listen="")} | more
    config = Config(**given)
    return [str(one) for one in check_ports(config)]


def test_a_port_that_is_free_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    for _ in range(2):
        lines = found(listen=f"127.0.0.1:{port}", admin=AdminConfig(listen=f"localhost:{port}"))
        assert lines == [
            f"ok      [listen] [127.0.0.1:{port}] is free",
            f"ok      [admin.listen] [localhost:{port}] is free",
        ]


def test_one_that_is_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for line in found(listen=address, admin=AdminConfig(listen=address)):
            assert line.startswith("error   [")
            assert f"cannot listen on [{address}]: it is in use; end what listens there" in line


def test_each_worker_needs_an_admin_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1] - 1}"
        line = found(workers=2, admin=AdminConfig(listen=address))[1]
        assert line.startswith(f"error   [admin.listen] cannot listen on [{address}]")


def test_an_address_of_another_machine_is_an_error() -> None:
    line, _ = found(listen="192.0.2.77:1")
    assert line.endswith("this machine has no such address")
    line, _ = found(listen="nowhere.invalid:1")
    assert line.endswith("; name an address of this machine")


def test_none_has_to_be_chosen() -> None:
    assert found() == [
        "ok      [listen] [127.0.0.1:0]: the system chooses a port",
        "ok      [admin.listen] is empty: no health, no metrics",
    ]
