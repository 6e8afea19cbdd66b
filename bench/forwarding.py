"""Speed of forwarding: the proxy compared with nginx and others.

    python -m bench.forwarding [--seconds N] [--rounds N]

Every server has a core to itself; load and upstream share another. Rounds are interleaved, so that
other load on the machine affects all servers alike, and ratios are taken within a round. Processor
time per request is reported, too, as it depends less on other load.
Results are written to bench/results/: forwarding.json, a table in forwarding.txt, forwarding.svg.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench import plot, wrk
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import (
    ANSWER_BYTES,
    FIRST_PORT,
    LARGE,
    SINK,
    STUB,
    SUBJECTS,
    Cores,
    Running,
    install_tools,
    pinned,
    start,
    stubs,
)

VARY: Final = Path(__file__).parent / "vary.lua"
# Name, connections, whether targets vary.
LOADS: Final = [("1", 1, False), ("32", 32, False), ("32 varied", 32, True)]
WANTED: Final = 0.9  # of nginx's requests per second, at 32 connections


@dataclass(frozen=True, slots=True)
class Rate:
    """One run of wrk against one server."""

    requests_per_second: float
    p50_microseconds: float
    p99_microseconds: float
    cpu_microseconds: float  # of the server's processor time, per request


@dataclass(frozen=True, slots=True)
class Transfer:
    """One large body through one server."""

    mib_per_second: float
    cpu_seconds_per_gib: float


def measure_rate(server: Running, connections: int, varied: bool, seconds: int, core: int) -> Rate:
    used = server.cpu_seconds()
    run = wrk.load(
        f"http://127.0.0.1:{server.port}/index/_doc/1",
        connections=connections,
        seconds=seconds,
        core=core,
        script=[str(VARY)] if varied else [],
    )
    used = server.cpu_seconds() - used
    return Rate(
        requests_per_second=run.requests_per_second,
        p50_microseconds=run.p50_microseconds,
        p99_microseconds=run.p99_microseconds,
        cpu_microseconds=used / run.requests * 1e6,
    )


def download(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: stub\r\nConnection: close\r\n\r\n")
        buffer = bytearray(1 << 20)
        total = 0
        while count := sock.recv_into(buffer):
            total += count
    if not LARGE < total < LARGE + 2000:
        sys.exit(f"a download of {LARGE} bytes gave {total}")


def upload(port: int, file: Path) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock, file.open("rb") as body:
        head = b"PUT /upload HTTP/1.1\r\nHost: stub\r\nContent-Length: %d\r\n\r\n" % LARGE
        sock.sendall(head)
        sock.sendfile(body)
        answer = sock.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"an upload was answered with {answer[:100]!r}")


def measure_transfer(server: Running, large: Path, *, up: bool) -> Transfer:
    used, began = server.cpu_seconds(), time.monotonic()
    if up:
        upload(server.upload_port, large)
    else:
        download(server.port)
    took, used = time.monotonic() - began, server.cpu_seconds() - used
    return Transfer(LARGE / 2**20 / took, used / (LARGE / 2**30))


def run(seconds: int, rounds: int) -> dict[str, Any]:
    """All measurements, by what was measured and by server, one entry per round."""
    cores = Cores.here()
    rates: dict[str, dict[str, list[Rate]]] = {name: {} for name, _, _ in LOADS}
    transfers: dict[str, dict[str, list[Transfer]]] = {"download": {}, "upload": {}}
    memory: dict[str, dict[str, float]] = {"idle": {}, "after": {}}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        upstreams = [
            stack.enter_context(start(label, command, port, cores.stub))
            for label, command, port in stubs(folder)
        ]
        servers, uploaders = start_subjects(folder, cores, stack)
        stack.enter_context(pinned(cores.load))  # transfers are made here
        memory["idle"] = {server.name: server.resident_mib() for server in servers}
        for number in range(rounds):
            for label, connections, varied in LOADS:
                for server in [upstreams[0], *servers]:
                    rate = measure_rate(server, connections, varied, seconds, cores.load)
                    rates[label].setdefault(server.name, []).append(rate)
                    shown = f"{rate.requests_per_second:9.0f}/s {rate.cpu_microseconds:6.1f} us"
                    print(f"round {number + 1}  {label:10} {server.name:16} {shown}", flush=True)
            for server, uploader in zip(servers, uploaders, strict=True):
                for label, target in (("download", server), ("upload", uploader)):
                    transfer = measure_transfer(target, folder / "large", up=label == "upload")
                    transfers[label].setdefault(server.name, []).append(transfer)
        memory["after"] = {server.name: server.resident_mib() for server in servers}
    return {
        "machine": {
            "cores": asdict(cores),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "processor": processor(),
        },
        "answer_bytes": ANSWER_BYTES,
        "seconds": seconds,
        "rates": as_json(rates),
        "transfers": as_json(transfers),
        "memory_mib": memory,
    }


def start_subjects(
    folder: Path, cores: Cores, stack: ExitStack
) -> tuple[list[Running], list[Running]]:
    """The servers, and for each of them the server for its uploads, often the same."""
    os.environ["XDG_STATE_HOME"] = str(folder)  # where the proxy keeps its generated key
    servers, uploaders = [], []
    for number, (name, (command, twice)) in enumerate(SUBJECTS.items()):
        port = FIRST_PORT + 2 * number
        server = start(name, command(folder, port, STUB), port, cores.subject)
        servers.append(stack.enter_context(server))
        if twice:
            port += 1
            server = start(name, command(folder, port, SINK), port, cores.subject)
            uploaders.append(stack.enter_context(server))
        else:
            uploaders.append(servers[-1])
    return servers, uploaders


def as_json(table: dict[str, dict[str, list[Any]]]) -> dict[str, Any]:
    return {
        label: {server: [asdict(entry) for entry in entries] for server, entries in row.items()}
        for label, row in table.items()
    }


def of_nginx(results: dict[str, Any], label: str, server: str, key: str) -> float:
    """A figure of a server relative to nginx's."""
    rows = {**results["rates"], **results["transfers"]}[label]
    return ratio(rows[server], rows["nginx"], key)


def picture(results: dict[str, Any]) -> str:
    """All figures relative to nginx's, as an SVG."""
    groups: dict[str, dict[str, float]] = {}
    for label, rows in results["rates"].items():
        groups[f"requests/s, small GET, connections: {label}"] = {
            server: of_nginx(results, label, server, "requests_per_second")
            for server in rows
            if server != "stub"
        }
    for label, rows in results["transfers"].items():
        groups[f"MiB/s, {LARGE >> 20} MiB {label}"] = {
            server: of_nginx(results, label, server, "mib_per_second") for server in rows
        }
    machine = results["machine"]
    caption = f"{machine['processor']}, Python {machine['python']}; nginx is 1.0, more is better"
    return plot.bars(groups, caption)


def report(results: dict[str, Any]) -> str:
    """The medians as a table."""
    lines: list[str] = []
    for label, rows in results["rates"].items():
        lines.append(f"small GET, connections: {label}")
        columns = ("requests/s", "of nginx", "cpu us", "p50 us", "p99 us")
        lines.append(f"{'':18}" + "".join(f"{column:>12}" for column in columns))
        for server, entries in rows.items():
            lines.append(
                f"{server:18}{median(entries, 'requests_per_second'):12.0f}"
                f"{of_nginx(results, label, server, 'requests_per_second'):12.2f}"
                f"{median(entries, 'cpu_microseconds'):12.1f}"
                f"{median(entries, 'p50_microseconds'):12.0f}"
                f"{median(entries, 'p99_microseconds'):12.0f}"
            )
        lines.append("")
    transferred = ("down MiB/s", "cpu s/GiB", "up MiB/s", "cpu s/GiB", "idle MiB", "MiB after")
    size = f"{LARGE >> 20} MiB"
    lines.append(f"{size:18}" + "".join(f"{column:>12}" for column in transferred))
    for server in results["transfers"]["download"]:
        line = f"{server:18}"
        for label in ("download", "upload"):
            entries = results["transfers"][label][server]
            line += f"{median(entries, 'mib_per_second'):12.0f}"
            line += f"{median(entries, 'cpu_seconds_per_gib'):12.2f}"
        memory = results["memory_mib"]
        lines.append(line + f"{memory['idle'][server]:12.1f}{memory['after'][server]:12.1f}")
    found = of_nginx(results, "32", "proxy", "requests_per_second")
    lines.append(
        f"\nforwarding ratio (proxy / nginx, 32 connections): {found:.2f}, wanted {WANTED}"
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=3)
    install_tools()
    results = run(options.seconds, options.rounds)
    write("forwarding", results, report(results), picture(results))
    if of_nginx(results, "32", "proxy", "requests_per_second") < WANTED:
        sys.exit(1)


if __name__ == "__main__":
    main()
