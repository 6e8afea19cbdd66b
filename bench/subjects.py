"""The servers that are compared, and the stub upstreams, each pinned to a core."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from testbed.processes import ROOT, children_of, proxy_command

STUB: Final = 19100  # ports of the upstreams
SINK: Final = 19101
FIRST_PORT: Final = 19110  # of the servers
ANSWER_BYTES: Final = 340
LARGE: Final = 256 * 1024 * 1024  # bytes of a download and of an upload
TOOLS: Final = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"}

NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    client_max_body_size 0;
    {body}
}}
"""
NGINX_STUB: Final = """
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 200 '{answer}'; }}
        location = /large {{ alias {folder}/large; }}
    }}
"""
NGINX_PROXY: Final = """
    upstream origin {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_buffering off;
        proxy_request_buffering off;
        location / {{ proxy_pass http://origin; }}
        location = /upload {{ proxy_pass http://127.0.0.1:{sink}; }}
    }}
"""
HAPROXY: Final = """
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend callers
    bind 127.0.0.1:{port}
    use_backend sink if {{ path /upload }}
    default_backend stub
backend stub
    server stub 127.0.0.1:{stub}
backend sink
    server sink 127.0.0.1:{sink}
"""


def install_tools() -> None:
    """Install nginx, HAProxy and wrk if they are missing; exits with a hint if it cannot."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"please install first: {' '.join(missing)}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", *missing]):
        subprocess.run(["apt-get", *arguments], check=True, env=environ, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores for the server, the load and the upstream; the last two may be the same."""

    subject: int
    load: int
    stub: int

    @classmethod
    def here(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            sys.exit("two cores are needed: one for the server, one for the load")
        return cls(cores[0], cores[1], cores[2] if len(cores) > 2 else cores[1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Let this thread run on one core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(slots=True)
class Running:
    """A running server."""

    name: str
    port: int
    upload_port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    def pids(self) -> list[int]:
        """Its process and its workers."""
        return [self.process.pid, *children_of(self.process.pid)]

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Its memory; pages that several processes share are counted in parts."""
        kilobytes = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
        return kilobytes / 1024


def wait_for(port: int, process: subprocess.Popen[bytes], patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{process.args!r} does not listen on {port}")


@contextmanager
def start(
    name: str,
    command: list[str],
    port: int,
    core: int,
    *,
    upload_port: int | None = None,
    patience: float = 30,
) -> Iterator[Running]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process, patience)
        yield Running(name, port, upload_port or port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nginx(folder: Path, name: str, body: str) -> list[str]:
    file = folder / f"{name}.conf"
    file.write_text(NGINX.format(folder=folder, name=name, body=body))
    return ["nginx", "-c", str(file)]


def stubs(folder: Path) -> list[tuple[str, list[str], int]]:
    """The upstreams: nginx with a fixed answer and a large file, and a sink for uploads."""
    with (folder / "large").open("wb") as file:
        file.truncate(LARGE)
    folder.chmod(0o755)  # nginx's workers run as another user
    answer = '{"stub":"' + "x" * (ANSWER_BYTES - 11) + '"}'
    body = NGINX_STUB.format(port=STUB, answer=answer, folder=folder)
    return [
        ("stub", nginx(folder, "stub", body), STUB),
        ("sink", [sys.executable, "-m", "bench.sink", str(SINK)], SINK),
    ]


def nginx_proxy(folder: Path, port: int, upstream: int) -> list[str]:
    body = NGINX_PROXY.format(port=port, upstream=upstream, sink=SINK)
    return nginx(folder, "proxy", body)


def haproxy(folder: Path, port: int, _upstream: int) -> list[str]:
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, stub=STUB, sink=SINK))
    return ["haproxy", "-db", "-f", str(file)]


def plain(_folder: Path, port: int, upstream: int) -> list[str]:
    return [sys.executable, "-m", "bench.plain", f"http://127.0.0.1:{upstream}", str(port)]


def proxy(folder: Path, port: int, upstream: int) -> list[str]:
    options = ["--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"]
    return proxy_command("serve", *options, "--store", f"sqlite:{folder}/{port}.db")


def application(folder: Path, port: int, upstream: int) -> list[str]:
    return [*proxy(folder, port, upstream), "--no-lane"]


# The command of each by folder, port and upstream port; and whether a second one is started for
# uploads, as it cannot choose an upstream by path.
SUBJECTS: Final[dict[str, tuple[Callable[[Path, int, int], list[str]], bool]]] = {
    "nginx": (nginx_proxy, False),
    "haproxy": (haproxy, False),
    "plain aiohttp": (plain, True),
    "proxy": (proxy, True),
    "proxy --no-lane": (application, True),
}
